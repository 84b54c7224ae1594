#!/usr/bin/env node
// npm run test:fuzz:worker [SECONDS [SEED [always]]]: a worker of the Linux driver, turn by turn in this thread, between clients and API
// servers that do anything at any time. Every byte is compared, and at the end nothing is open, counted or held. `always`: with the kernel lane.

import { readdirSync } from 'node:fs'
import { Random } from '../../../soak/faults/random.ts'
import { acceptFrom, clientKinds, FuzzClient, FuzzFault, FuzzServer, openSocket } from './peers.ts'
import { FuzzPlace } from './place.ts'

/** Until all have left, once they have been told to. */
const leaveMsMax = 30_000
/** Turns in a row without a connection, after which those that are left are in a queue that nobody accepts from any more. */
const emptyTurns = 50

export interface FuzzTotals {
  rounds: number
  connections: number
  bytes: number
  readonly reasons: Record<string, number>
}

/** @throws {FuzzFault} */
export function fuzzRound(random: Random, kernelLane: 'off' | 'always', totals: FuzzTotals): void {
  const before = readdirSync('/proc/self/fd').length
  const place = new FuzzPlace(random, kernelLane)
  const round = new Round(random, place)
  const steps = random.integer(100, 400)
  for (let step = 0; step < steps; step++) round.step(steps - step)
  switch (random.weighted({ leave: 1, stop: 1, close: 1 })) {
    case 'leave': round.leave(); break
    case 'stop': place.request({ kind: 'stop' }); break
    default: break
  }
  place.close()
  round.checkHeads()
  round.closeAll()
  totals.rounds += 1
  totals.connections += round.clients.length
  totals.bytes += round.bytes
  for (const { reason } of place.records) totals.reasons[reason] = (totals.reasons[reason] ?? 0) + 1
  const after = readdirSync('/proc/self/fd').length
  if (after > before) throw new FuzzFault(`${after - before} descriptors are left open`)
}

class Round {
  readonly clients: FuzzClient[] = []
  readonly #servers: FuzzServer[] = []
  readonly #random: Random
  readonly #place: FuzzPlace

  constructor(random: Random, place: FuzzPlace) {
    this.#random = random
    this.#place = place
  }

  get bytes(): number {
    return [...this.clients, ...this.#servers].reduce((sum, { heardBytes }) => sum + heardBytes, 0)
  }

  /** @param left steps, this one included */
  step(left: number): void {
    const random = this.#random
    const place = this.#place
    if (random.chance(0.35)) for (let each = random.integer(0, random.chance(0.1) ? 80 : 5); each > 0; each--) this.#connect()
    for (const client of this.clients) if (random.chance(0.35)) client.act()
    if (random.chance(0.7)) this.#accept()
    for (const server of this.#servers) if (random.chance(0.4)) server.act(this.clients)
    for (const client of this.clients) if (random.chance(0.4)) client.listen()
    place.answerNames({ all: false })
    if (random.chance(0.02)) place.request({ kind: 'close', refs: Array.from({ length: 20 }, () => ({ slot: random.integer(0, place.slots - 1), id: `c-${(place.records.length + random.integer(0, 20)).toString(36)}` })) })
    if (random.chance(0.05)) place.request({ kind: 'scan', request: { query: {}, from: 0, max: 100 } })
    if (left === 60 && random.chance(0.5)) place.request({ kind: 'drain' })
    if (left === 30 && random.chance(0.5)) place.request({ kind: 'unlisten', listener: 'main' })
    for (let turns = random.integer(0, 2); turns > 0; turns--) place.turn(random.chance(0.1) ? 1 : 0)
    if (place.counted.some((count) => count < 0)) throw new FuzzFault(`${place.counted.join(', ')} are counted`)
  }

  /** All go in good order, and then nothing may be left. */
  leave(): void {
    const place = this.#place
    const lateMs = performance.now() + leaveMsMax
    for (let empty = 0; empty < emptyTurns; empty = place.counted.every((count) => count === 0) ? empty + 1 : 0) {
      if (performance.now() > lateMs) throw new FuzzFault(`all leave, and still ${place.counted.join(', ')} are counted (open, in their limits, before their hello)`)
      for (const client of this.clients) {
        client.stalls = false
        if (!client.hasGreeted) client.close({ reset: true })
        client.finish()
        client.listen()
        if (client.isOver) client.close({ reset: false })
      }
      this.#accept()
      for (const server of this.#servers) {
        server.stalls = false
        server.act(this.clients)
        if (server.isOver) server.close({ reset: false })
      }
      place.answerNames({ all: true })
      place.turn(1)
    }
  }

  /** Long after they were read, and others where they were. */
  checkHeads(): void {
    for (const head of this.#place.heads) {
      if (!this.clients.some((client) => client.hasBegunWith(head))) throw new FuzzFault(`${head.length} bytes were handed over that no client has begun with`)
    }
  }

  closeAll(): void {
    for (const peer of [...this.clients, ...this.#servers]) peer.close({ reset: true })
  }

  #connect(): void {
    const kind = clientKinds[this.#random.integer(0, clientKinds.length - 1)] ?? 'acme'
    this.clients.push(new FuzzClient(openSocket(this.#place.portFor(kind), this.#random.chance(0.3)), this.#random, { kind, number: this.clients.length + 1 }))
  }

  #accept(): void {
    for (let fd = acceptFrom(this.#place.backend.fd); fd !== -1; fd = acceptFrom(this.#place.backend.fd)) {
      const server = new FuzzServer(fd, this.#random)
      this.#servers.push(server)
      if (this.#random.chance(0.05)) server.close({ reset: this.#random.chance(0.5) })
    }
  }
}

if (import.meta.main) {
  const [seconds = '60', seed = String(Date.now() % 1e9), lane] = process.argv.slice(2)
  const totals: FuzzTotals = { rounds: 0, connections: 0, bytes: 0, reasons: {} }
  const endMs = performance.now() + 1_000 * Number(seconds)
  while (performance.now() < endMs) {
    try {
      fuzzRound(new Random(Number(seed), totals.rounds), lane === 'always' ? 'always' : 'off', totals)
    } catch (error) {
      process.stderr.write(`seed ${seed}, round ${totals.rounds}\n`)
      throw error
    }
    process.stderr.write(`\r${totals.rounds} rounds, ${totals.connections} connections, ${Math.round(totals.bytes / 1e6)} MB `)
  }
  process.stdout.write(`\nseed ${seed}: ${JSON.stringify(totals)}\n`)
}
