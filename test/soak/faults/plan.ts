// What one connection does, from the run's seed and the connection's number: client and backend follow it, the ledger judges
// by it.

import { Random } from './random.ts'

export interface Stall {
  /** After so many bytes of what it reads… */
  readonly atBytes: number
  /** …it reads nothing for so long. */
  readonly ms: number
}

export interface Pace {
  readonly chunkBytes: number
  /** Between chunks; 0: as fast as they are taken. */
  readonly gapMs: number
}

/** What the backend does; it travels in the hello. */
export interface BackendPlan {
  readonly id: number
  readonly seed: number
  readonly upBytes: number
  /** echo: what it is sent · stream: bytes of its own, whatever it is sent. */
  readonly answer: 'echo' | 'stream'
  readonly downBytes: number
  /** whole: FIN after the client's · fin-first: FIN once it has sent all · reset: RST midway · unanswered: closes before its first byte. */
  readonly end: 'whole' | 'fin-first' | 'reset' | 'unanswered'
  /** With `reset`: of what it reads and writes together. */
  readonly resetAtBytes: number
  readonly answerDelayMs: number
  readonly pace: Pace
  readonly stall?: Stall
}

export interface HelloPlan {
  /** Of an extension that nobody knows, so that hellos differ in size. */
  readonly fillerBytes: number
  readonly recordBytes: number
  /** Where its pieces end, as parts of the whole. */
  readonly cuts: readonly number[]
  readonly gapMs: number
}

export interface ExchangePlan {
  readonly kind: 'exchange'
  readonly id: number
  readonly tenant: string
  readonly hello: HelloPlan
  /** Sent before it is answered. */
  readonly eagerBytes: number
  readonly pace: Pace
  readonly fin: 'when-sent' | 'when-received'
  readonly reset?: { readonly atBytes: number } | { readonly afterMs: number }
  readonly stall?: Stall
  readonly backend: BackendPlan
}

export const strayKinds = ['unknown-name', 'garbage', 'slow-hello', 'leaving-hello', 'leaving-dial'] as const

/** A client that is not routed, or leaves before it can be answered. */
export interface StrayPlan {
  readonly kind: (typeof strayKinds)[number]
  readonly id: number
  readonly seed: number
  readonly tenant: string
  readonly hello: HelloPlan
  readonly leave: 'fin' | 'reset' | 'close'
  readonly leaveAfterMs: number
  /** Of the hello, what is sent. */
  readonly part: number
}

export type Plan = ExchangePlan | StrayPlan

/** What its hello asks of a backend, if it reaches one. */
export function backendPlanOf(plan: Plan): BackendPlan | undefined {
  if (plan.kind === 'exchange') return plan.backend
  if (plan.kind !== 'leaving-dial') return undefined
  const { id, seed } = plan
  return { id, seed, upBytes: 0, downBytes: 1, answer: 'stream', end: 'whole', resetAtBytes: 0, answerDelayMs: 0, pace: { chunkBytes: 1, gapMs: 0 } }
}

/** The gateway keeps 64 KiB for an endpoint that has not answered: a little more is tried, too. */
const eagerBytesMax = 100_000
const megabyte = 1_000_000

export function planOf(seed: number, id: number): Plan {
  const random = new Random(seed, id)
  const kind = random.weighted({ 'exchange': 78, 'unknown-name': 5, 'garbage': 4, 'slow-hello': 2, 'leaving-hello': 5, 'leaving-dial': 6 })
  const hello = helloPlan(random)
  if (kind === 'exchange') return exchangePlan(random, id, hello)
  return {
    kind, id, hello,
    seed: random.integer(1, 2 ** 31),
    tenant: kind === 'leaving-dial' ? random.pick(['one0', 'many', 'narrow', 'half-unresponsive', 'unresponsive', 'half-refused']) : 'one1',
    leave: random.pick(['fin', 'reset', 'close']),
    leaveAfterMs: random.chance(0.3) ? 0 : random.size(1, 600),
    part: random.next(),
  }
}

function helloPlan(random: Random): HelloPlan {
  const whole = random.chance(0.5)
  return {
    fillerBytes: random.chance(0.1) ? random.integer(0, 14_000) : random.integer(0, 1_600),
    recordBytes: random.chance(0.7) ? 2 ** 14 : random.size(8, 2_000),
    cuts: whole ? [] : Array.from({ length: random.integer(1, 6) }, () => random.next()).sort((left, right) => left - right),
    gapMs: random.chance(0.5) ? 0 : random.integer(1, 40),
  }
}

function exchangePlan(random: Random, id: number, hello: HelloPlan): ExchangePlan {
  const tenant = random.weighted({
    'one0': 12, 'one1': 12, 'one2': 12, 'one3': 12, 'many': 14, 'narrow': 4, 'half-refused': 6, 'half-unresponsive': 3, 'refused': 2, 'unresponsive': 2,
    'volatile0': 3, 'volatile1': 3, 'volatile2': 3, 'volatile3': 3, 'volatile4': 3, 'volatile5': 3, 'volatile6': 3, 'volatile7': 3,
  })
  const { upBytes, downBytes, pace, stalls } = sizes(random)
  const answer = random.chance(0.5) ? 'echo' : 'stream'
  const down = answer === 'echo' ? upBytes : downBytes
  const backend: BackendPlan = {
    id, upBytes, answer, pace,
    seed: random.integer(1, 2 ** 31),
    downBytes: down,
    end: random.weighted({ 'whole': 80, 'fin-first': 10, 'reset': 8, 'unanswered': 2 }),
    resetAtBytes: random.integer(0, upBytes + down - 1),
    answerDelayMs: random.chance(0.8) ? 0 : random.size(1, 2_000),
    ...stallWithin(random, upBytes, stalls),
  }
  return {
    kind: 'exchange', id, tenant, hello, pace, backend,
    eagerBytes: random.chance(0.6) ? 0 : Math.min(upBytes, eagerBytesMax),
    fin: random.chance(0.5) ? 'when-sent' : 'when-received',
    ...stallWithin(random, down, stalls),
    ...(random.chance(0.88) ? {} : { reset: random.chance(0.5) ? { atBytes: random.integer(0, upBytes + down - 1) } : { afterMs: random.size(1, 5_000) } }),
  }
}

interface Sizes {
  readonly upBytes: number
  readonly downBytes: number
  readonly pace: Pace
  /** How likely a reader is to stall, each of the two for itself. */
  readonly stalls: number
}

/**
 * quick: an API call · bulk: a list of everything · huge: `kubectl cp`, and more than the system's own buffers hold for a reader
 * that stalls · talking: `exec` · lasting: a watch.
 */
function sizes(random: Random): Sizes {
  const kind = random.weighted({ quick: 50, bulk: 12, huge: 3, talking: 30, lasting: 6 })
  switch (kind) {
    case 'quick': return { upBytes: random.size(1, 50_000), downBytes: random.size(1, 50_000), pace: { chunkBytes: random.size(1_000, 65_536), gapMs: 0 }, stalls: 0.15 }
    case 'bulk': return { upBytes: random.size(100_000, 2 * megabyte), downBytes: random.size(100_000, 4 * megabyte), pace: unpaced(random), stalls: 0.2 }
    case 'huge': return { upBytes: random.size(4 * megabyte, 16 * megabyte), downBytes: random.size(4 * megabyte, 16 * megabyte), pace: unpaced(random), stalls: 0.7 }
    case 'talking': return paced(random, { gapMs: random.size(50, 2_000), lifeMs: random.size(2_000, 120_000) })
    case 'lasting': return paced(random, { gapMs: random.size(500, 8_000), lifeMs: random.size(30_000, 600_000) })
    default: return kind satisfies never
  }
}

function unpaced(random: Random): Pace {
  return { chunkBytes: random.size(10_000, 262_144), gapMs: 0 }
}

function paced(random: Random, { gapMs, lifeMs }: { readonly gapMs: number; readonly lifeMs: number }): Sizes {
  const chunkBytes = random.size(1, 4_000)
  const bytes = chunkBytes * Math.ceil(lifeMs / gapMs)
  return { upBytes: bytes, downBytes: Math.ceil(bytes * random.next()) + 1, pace: { chunkBytes, gapMs }, stalls: 0.15 }
}

function stallWithin(random: Random, byteLength: number, probability: number): { readonly stall?: Stall } {
  return !random.chance(probability) ? {} : { stall: { atBytes: random.integer(0, byteLength - 1), ms: random.size(50, 4_000) } }
}
