// Who goes into the kernel lane, and who comes out of it. In the lane a message costs no process its waking up, which is
// most of a quiet connection's latency; but each message is moved by itself, where a busy relay moves many with one call.
// So quiet and interactive connections go in, and bulky ones, and all on a machine whose cores are full, stay out.
//
//   out ── relayed for a while, not bulky, cores have room ──▶ in
//    ▲◀── bulky: more than its budget at once ── ends ── saturated ──┘      after bulk it waits, each time longer

export type KernelLaneMode = 'off' | 'auto' | 'always'

/** Why a connection has left the lane. */
export type KernelLaneLeave = 'bulky' | 'ending' | 'saturated'

/** A connection must have been relayed for so long: short ones would pay for going in, and gain nothing. */
const relayedMsMin = 150
/** Of both directions together; faster ones are left to splice. */
const bytesPerSecondMax = 32 * 1024 * 1024
/** After a leave for bulk, and twice as long after each further one, up to the most. */
const bulkyWaitMs = 250
const bulkyWaitMsMax = 30_000
/** Connections of one thread that moved bytes within a look: from so many on gathering their messages pays, where cores are full. */
const activeMax = 6
/** And down to so many before the lane opens again. */
const activeToReopen = 4
/** Of all cores: less is full, and it takes more to be so no longer. */
const idleShareMin = 0.1
const idleShareToReopen = 0.25
/** Cores must have had room for so long before the lane opens again, and twice as long after each further time, up to the most. Where few are left the first is enough: they gain by it whatever the cores do. */
const calmMs = 500
const calmMsMax = 30_000
/** Open for so long: the times before do not count any more. */
const soundMs = 60_000

export interface LaneCandidateFacts {
  /** Since its bytes go straight across. */
  readonly relayedMs: number
  /** Of late, both directions. */
  readonly bytesPerSecond: number
  /** Infinity: it has not been in. */
  readonly sinceLeftMs: number
  /** Leaves for bulk in a row. */
  readonly bulkyLeaves: number
}

/** Where the gate is open. */
export function mayEnter(mode: KernelLaneMode, facts: LaneCandidateFacts): boolean {
  switch (mode) {
    case 'off': return false
    case 'always': return true
    case 'auto': return facts.relayedMs >= relayedMsMin && facts.bytesPerSecond <= bytesPerSecondMax && facts.sinceLeftMs >= bulkyWait(facts.bulkyLeaves)
    default: return mode satisfies never
  }
}

/** Whether a thread's lane takes anybody who moves bytes. Going in and out costs, and so does finding out: what was wrong once is tried again later each time. */
export interface LaneGate {
  readonly isOpen: boolean
  /** Open, or closed, since then. */
  readonly sinceMs: number
  /** In a row. */
  readonly closings: number
  /** Closed, and cores have had room since then; Infinity: they have none. */
  readonly calmSinceMs: number
}

export const openGate: LaneGate = { isOpen: true, sinceMs: 0, closings: 0, calmSinceMs: Infinity }

export interface LaneLoad {
  readonly nowMs: number
  /** This thread's connections that moved bytes since the last look, in the lane or not. */
  readonly active: number
  /** Of all cores since the last look, 0 to 1. */
  readonly idleShare: number
}

/** Whether so many connections could fill the cores, so that it must be known how idle those are. */
export function mayFillCores(connections: number): boolean {
  return connections > activeToReopen
}

/** At each look. @param gate what the last look has left */
export function judgeLoad(gate: LaneGate, { nowMs, active, idleShare }: LaneLoad): LaneGate {
  if (gate.isOpen) {
    if (active <= activeMax || idleShare >= idleShareMin) return gate
    return { isOpen: false, sinceMs: nowMs, closings: nowMs - gate.sinceMs > soundMs ? 1 : gate.closings + 1, calmSinceMs: Infinity }
  }
  const isFew = active <= activeToReopen
  if (!isFew && idleShare < idleShareToReopen) return { ...gate, calmSinceMs: Infinity }
  const calmSinceMs = Math.min(gate.calmSinceMs, nowMs)
  const isOpen = nowMs - calmSinceMs >= (isFew ? calmMs : doubled(calmMs, gate.closings, calmMsMax))
  return isOpen ? { ...gate, isOpen, sinceMs: nowMs, calmSinceMs: Infinity } : { ...gate, calmSinceMs }
}

function bulkyWait(bulkyLeaves: number): number {
  return bulkyLeaves === 0 ? 0 : doubled(bulkyWaitMs, bulkyLeaves, bulkyWaitMsMax)
}

/** @param times 1, 2, … */
function doubled(firstMs: number, times: number, mostMs: number): number {
  return Math.min(mostMs, firstMs * 2 ** (times - 1))
}
