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

export function mayEnter(mode: KernelLaneMode, saturated: boolean, facts: LaneCandidateFacts): boolean {
  switch (mode) {
    case 'off': return false
    case 'always': return true
    case 'auto': return !saturated && facts.relayedMs >= relayedMsMin && facts.bytesPerSecond <= bytesPerSecondMax && facts.sinceLeftMs >= bulkyWait(facts.bulkyLeaves)
    default: return mode satisfies never
  }
}

/** Whether a thread has so many connections busy that it must look at how idle the cores are. */
export function isBusy(active: number): boolean {
  return active > activeToReopen
}

/**
 * @param before what the last look found: with it what a look finds must differ by more
 * @param active this thread's connections that moved bytes within the look, in the lane or not
 * @param idleShare of all cores, 0 to 1
 */
export function isSaturated(before: boolean, active: number, idleShare: number): boolean {
  return before ? active > activeToReopen && idleShare < idleShareToReopen : active > activeMax && idleShare < idleShareMin
}

function bulkyWait(bulkyLeaves: number): number {
  return bulkyLeaves === 0 ? 0 : Math.min(bulkyWaitMsMax, bulkyWaitMs * 2 ** (bulkyLeaves - 1))
}
