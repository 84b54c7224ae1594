// Many connections through a relay, each of its own random plan: sizes, cuts, pauses, stalled readers, half-closes and
// resets. Both ends check each byte as it comes, and at the end both must have seen the end that the plan says.
//
//   a side's plan: send, wait, stall, send, … and then FIN or RST         plan and bytes are made of the seed alone

import { once } from 'node:events'
import { connect, createServer, type Socket } from 'node:net'
import { setTimeout as delay } from 'node:timers/promises'
import type { ConnectionRecord } from '../../src/core/connection-record.ts'
import { buildClientHello } from '../core/tls/hello-builder.ts'

const hello = Buffer.from(buildClientHello({ serverName: 'acme.example.test' }))
/** Behind the hello, the flow's number: the backend finds the plan by it. */
const numberBytes = 4
/** All streams are windows of this. */
const streamBytes = 1 << 20
const streams = randomStream(streamBytes, 7)

type Action = { readonly kind: 'send'; readonly byteLength: number } | { readonly kind: 'wait' | 'stall'; readonly ms: number }

interface SidePlan {
  readonly actions: readonly Action[]
  readonly ending: 'fin' | 'rst'
  /** It resets in the midst of what it sends. */
  readonly resetsAfterMs?: number
  /** It sends FIN only once it has read the other's. */
  readonly endsSecond: boolean
}

interface Plan {
  readonly client: SidePlan
  readonly server: SidePlan
}

export interface RandomFlowsOptions {
  readonly relayPort: number
  readonly backend: FlowBackend
  readonly seed: number
  readonly connections: number
  readonly together: number
  /** Of a side's stream, on average. */
  readonly meanBytes: number
  /** The share of flows that are reset, half of them in the midst of a long stream. */
  readonly resets?: number
}

export interface FlowsResult {
  /** What was wrong, each with its flow's number; the first ones. */
  readonly faults: readonly string[]
  readonly bytes: number
  readonly resets: number
  /** Of each flow that ended in good order: bytes from the client, and from the server. */
  readonly completed: readonly (readonly [number, number])[]
}

const faultsMax = 20

/** Where flows' server sides are. */
export class FlowBackend {
  readonly port: number
  readonly #waiting: Map<number, (socket: Socket, first: Buffer) => void>
  readonly #close: () => void

  private constructor(port: number, waiting: FlowBackend['waiting'], close: () => void) {
    this.port = port
    this.#waiting = waiting
    this.#close = close
  }

  static async start(): Promise<FlowBackend> {
    const waiting = new Map<number, (socket: Socket, first: Buffer) => void>()
    const sockets = new Set<Socket>()
    const server = createServer({ allowHalfOpen: true, noDelay: true }, (socket) => {
      sockets.add(socket)
      socket.on('error', () => undefined)
      socket.once('close', () => sockets.delete(socket))
      let first = Buffer.alloc(0)
      const greet = (chunk: Buffer): void => {
        first = Buffer.concat([first, chunk])
        if (first.length < hello.length + numberBytes) return
        socket.off('data', greet)
        socket.pause()
        const number = first.readUInt32BE(hello.length)
        waiting.get(number)?.(socket, first)
        waiting.delete(number)
      }
      socket.on('data', greet)
    })
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
    const bound = server.address()
    if (bound === null || typeof bound === 'string') throw new Error('no port')
    return new FlowBackend(bound.port, waiting, () => {
      for (const socket of sockets) socket.destroy()
      server.close()
    })
  }

  get waiting(): Map<number, (socket: Socket, first: Buffer) => void> {
    return this.#waiting
  }

  close(): void {
    this.#close()
  }
}

export async function runRandomFlows(options: RandomFlowsOptions): Promise<FlowsResult> {
  const faults: string[] = []
  const completed: [number, number][] = []
  let [next, bytes, resets] = [0, 0, 0]
  const runner = async (): Promise<void> => {
    while (next < options.connections && faults.length < faultsMax) {
      const number = next++
      const plan = planOf(options, number)
      const { client, server } = await runFlow(options, number, plan)
      bytes += client.received + server.received
      for (const fault of faultsOf(plan, client, server)) faults.push(`flow ${number} of seed ${options.seed}: ${fault}; ${JSON.stringify(plan)}`)
      if (plan.client.ending === 'rst' || plan.server.ending === 'rst') resets += 1
      else completed.push([hello.length + numberBytes + server.received, client.received])
    }
  }
  await Promise.all(Array.from({ length: options.together }, runner))
  return { faults: faults.slice(0, faultsMax), bytes, resets, completed }
}

/** Records of those that ended in good order have the counts that both ends have. @returns what differs */
export function differingCounts(records: readonly ConnectionRecord[], { completed }: FlowsResult): readonly string[] {
  const count = (pairs: Iterable<readonly [number, number]>): Map<string, number> => {
    const counts = new Map<string, number>()
    for (const pair of pairs) counts.set(pair.join(' '), (counts.get(pair.join(' ')) ?? 0) + 1)
    return counts
  }
  const recorded = count(records.filter(({ reason }) => reason === 'completed').map(({ bytesFromDownstream, bytesFromUpstream }) => [bytesFromDownstream, bytesFromUpstream] as const))
  return [...count(completed)].filter(([pair, times]) => (recorded.get(pair) ?? 0) < times).map(([pair]) => pair)
}

interface SideResult {
  sent: number
  received: number
  /** The first byte that is not what it must be. */
  wrongAt: number
  /** `fin`, or an error's code. */
  how: string
}

async function runFlow({ relayPort, backend }: RandomFlowsOptions, number: number, plan: Plan): Promise<{ client: SideResult; server: SideResult }> {
  const [up, down] = [(number * 7919) % streamBytes, (number * 104_729 + 13) % streamBytes]
  const client: SideResult = { sent: 0, received: 0, wrongAt: -1, how: '' }
  const server: SideResult = { sent: 0, received: 0, wrongAt: -1, how: '' }
  const accepted = new Promise<{ socket: Socket; first: Buffer }>((resolve) => {
    backend.waiting.set(number, (socket, first) => resolve({ socket, first }))
  })
  const socket = connect({ port: relayPort, host: '127.0.0.1', allowHalfOpen: true, noDelay: true })
  socket.on('error', () => undefined)
  await once(socket, 'connect')
  const head = Buffer.concat([hello, Buffer.alloc(numberBytes)])
  head.writeUInt32BE(number, hello.length)
  socket.write(head)
  const { socket: upstream, first } = await accepted
  if (!first.subarray(0, hello.length).equals(hello)) server.wrongAt = 0
  const playClient = play(socket, plan.client, { result: client, from: up, expected: down, after: answered(socket) })
  const playServer = play(upstream, plan.server, { result: server, from: down, expected: up, early: first.subarray(hello.length + numberBytes) })
  await Promise.all([playClient, playServer])
  return { client, server }
}

/** The first byte has come, or none will. */
async function answered(socket: Socket): Promise<void> {
  await new Promise<void>((resolve) => {
    for (const event of ['data', 'end', 'close']) socket.once(event, () => resolve())
  })
}

async function play(socket: Socket, { actions, ending, endsSecond, resetsAfterMs }: SidePlan, { result, from, expected, early, after }: { readonly result: SideResult; readonly from: number; readonly expected: number; readonly early?: Buffer; readonly after?: Promise<unknown> }): Promise<void> {
  const take = (chunk: Buffer): void => {
    for (let at = 0; at < chunk.length && result.wrongAt === -1;) {
      const place = (expected + result.received + at) % streamBytes
      const length = Math.min(chunk.length - at, streamBytes - place)
      if (streams.compare(chunk, at, at + length, place, place + length) !== 0) result.wrongAt = result.received + at
      at += length
    }
    result.received += chunk.length
  }
  const closed = new Promise<void>((resolve) => {
    socket.once('error', (error: NodeJS.ErrnoException) => {
      if (result.how === '') result.how = error.code ?? error.message
    })
    socket.once('close', () => resolve())
  })
  const ended = new Promise<void>((resolve) => {
    socket.once('end', () => {
      result.how = 'fin'
      resolve()
    })
    socket.once('close', () => resolve())
  })
  if (early !== undefined) take(early)
  socket.on('data', take)
  socket.resume()
  await after
  const resetting = resetsAfterMs === undefined ? undefined : setTimeout(() => socket.resetAndDestroy(), resetsAfterMs)
  for (const action of actions) {
    if (socket.destroyed) break
    if (action.kind === 'wait') await delay(action.ms)
    else if (action.kind === 'send') await send(socket, action.byteLength, from, result)
    else {
      socket.pause()
      await delay(action.ms)
      socket.resume()
    }
  }
  clearTimeout(resetting)
  if (endsSecond) await ended
  if (ending === 'fin') socket.end()
  else socket.resetAndDestroy()
  await closed
}

async function send(socket: Socket, byteLength: number, from: number, result: SideResult): Promise<void> {
  for (let left = byteLength; left > 0 && !socket.destroyed;) {
    const place = (from + result.sent) % streamBytes
    const piece = streams.subarray(place, place + Math.min(left, 100_000))
    result.sent += piece.length
    left -= piece.length
    if (socket.write(piece)) continue
    await new Promise<void>((resolve) => {
      const go = (): void => {
        socket.off('drain', go)
        socket.off('close', go)
        resolve()
      }
      socket.once('drain', go)
      socket.once('close', go)
    })
  }
}

function faultsOf({ client: clientPlan, server: serverPlan }: Plan, client: SideResult, server: SideResult): readonly string[] {
  const faults: string[] = []
  for (const [name, reader, writer, readerPlan, writerPlan] of [['client', client, server, clientPlan, serverPlan], ['server', server, client, serverPlan, clientPlan]] as const) {
    if (reader.wrongAt !== -1) faults.push(`the ${name} got a wrong byte at ${reader.wrongAt}`)
    if (reader.received > writer.sent) faults.push(`the ${name} got ${reader.received} of ${writer.sent} bytes`)
    if (readerPlan.ending === 'fin' && writerPlan.ending === 'fin') {
      if (reader.received !== writer.sent) faults.push(`the ${name} got ${reader.received} of ${writer.sent} bytes`)
      if (reader.how !== 'fin') faults.push(`the ${name} saw ${reader.how}, not FIN`)
    } else if (readerPlan.ending === 'fin' && reader.how === 'fin') {
      faults.push(`the ${name} saw FIN, not RST`)
    }
  }
  return faults
}

function planOf({ seed, meanBytes, resets = 0.15 }: RandomFlowsOptions, number: number): Plan {
  const random = randomNumbers(seed * 1_000_003 + number)
  const rst = random() < resets
  const clientEndsSecond = random() < 0.4
  const side = (isReset: boolean, endsSecond: boolean): SidePlan => ({
    ...isReset && random() < 0.5 ? cutShort(random, meanBytes) : { actions: actionsOf(random, meanBytes) },
    ending: isReset ? 'rst' : 'fin', endsSecond: endsSecond && !isReset,
  })
  const clientResets = rst && random() < 0.5
  const server = side(rst && !clientResets, !clientEndsSecond && random() < 0.5)
  // A server that ends before its answer is another's case: the next endpoint is dialled.
  return { client: side(clientResets, clientEndsSecond), server: { ...server, actions: [{ kind: 'send', byteLength: bytesOf(random, meanBytes) }, ...server.actions] } }
}

/** A long stream that is reset while it goes on. */
function cutShort(random: () => number, meanBytes: number): Pick<SidePlan, 'actions' | 'resetsAfterMs'> {
  return { actions: [...actionsOf(random, meanBytes), { kind: 'send', byteLength: 100 * meanBytes }], resetsAfterMs: Math.floor(random() * 60) }
}

/** Most streams are short messages; some have a burst, and few are long. */
function actionsOf(random: () => number, meanBytes: number): readonly Action[] {
  const actions: Action[] = []
  const count = 1 + Math.floor(random() * 8)
  for (let index = 0; index < count; index++) {
    const dice = random()
    if (dice < 0.25) actions.push({ kind: 'wait', ms: Math.floor(random() * (random() < 0.3 ? 250 : 15)) })
    else if (dice < 0.33) actions.push({ kind: 'stall', ms: Math.floor(random() * 60) })
    else actions.push({ kind: 'send', byteLength: bytesOf(random, meanBytes) })
  }
  return actions
}

function bytesOf(random: () => number, meanBytes: number): number {
  const dice = random()
  if (dice < 0.7) return 1 + Math.floor(random() * 400)
  if (dice < 0.95) return 1 + Math.floor(random() * meanBytes)
  return 1 + Math.floor(random() * 30 * meanBytes)
}

function randomStream(byteLength: number, seed: number): Buffer {
  const random = randomNumbers(seed)
  const bytes = Buffer.alloc(byteLength)
  for (let at = 0; at < byteLength; at += 4) bytes.writeUInt32LE(Math.floor(random() * 2 ** 32), at)
  return bytes
}

/** mulberry32. @returns numbers from 0 to 1 */
function randomNumbers(seed: number): () => number {
  let state = seed >>> 0
  return () => {
    state = (state + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
}
