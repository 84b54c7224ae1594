// All clients, in a process of their own.
//
//   node clients.ts PORT SEED RATE CONNECTIONS_MAX

import { ClientConnection } from './client-connection.ts'
import type { FromClients, ToLoad } from './facts.ts'
import { hurry } from './flow.ts'
import { planOf } from './plan.ts'
import { Random } from './random.ts'

const [port, seed, rate, connectionsMax] = process.argv.slice(2).map(Number)
if (port === undefined || seed === undefined || rate === undefined || connectionsMax === undefined) throw new Error('bug: an argument is missing')

/** Longer than all of a plan's pauses, a backend that is stopped, and the gateway's own time for what a slow reader is owed. */
const quietMsMax = 60_000
const checkIntervalMs = 1_000
const catchUpMsMax = 500

const send = (message: FromClients): void => void process.send?.(message)
const arrivals = new Random(seed)
const open = new Set<ClientConnection>()
let started = 0
let ending = false
let nextMs = performance.now()

/** Clients arrive independently of each other: the times between them are distributed exponentially. */
function startDue(): void {
  if (ending) return
  const nowMs = performance.now()
  // After a pause of the whole machine they need not all be made up for.
  nextMs = Math.max(nextMs, nowMs - catchUpMsMax)
  while (nextMs <= nowMs) {
    if (open.size < connectionsMax!) start()
    nextMs += (-Math.log(1 - arrivals.next()) * 1_000) / rate!
  }
  setTimeout(startDue, nextMs - nowMs)
}

function start(): void {
  started += 1
  const connection = new ClientConnection(planOf(seed!, started), port!, (facts) => {
    open.delete(connection)
    send(facts)
    doneIfEmpty()
  })
  open.add(connection)
}

function doneIfEmpty(): void {
  if (ending && open.size === 0) send({ from: 'clients-done', started })
}

setInterval(() => {
  for (const connection of open) connection.endIfStuck(quietMsMax)
}, checkIntervalMs)
process.on('message', (message: ToLoad) => {
  if (message === 'status') {
    send({ from: 'clients-status', open: open.size, started })
  } else {
    ending = true
    hurry()
    doneIfEmpty()
  }
})
process.on('disconnect', () => process.exit(0))
startDue()
