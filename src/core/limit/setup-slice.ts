// How much a thread does for those that are not relayed yet before it looks again for those that are. An accept, a hello, a dial
// each stand in the way of every byte that the thread relays, and in a storm there are thousands of them at once. So they have a
// slice of each turn, behind the bytes; what is left over waits for the next turn, which comes at once.
//
//   turn: wait │ relayed bytes │ slice ─▶ turn: no wait │ relayed bytes │ slice …
//   slice: step, step, … perform │ newcomer, newcomer, … perform │ …
//
// A step decides, and what it asks the system for is performed later, for several connections together: each call evicts
// from the core's caches the code that the next connection's step would run through.
//
// Nothing waits while the thread has nothing else to do, and nothing is refused. Those that wait for their accept are in the
// kernel's queue, which is bounded.

/** Of one slice; looked at each time that newcomers have been seen to. A newcomer, with its hello and its dial, is a seventh of it on a machine of 2025. */
const sliceMs = 0.25
/** Of one slice, whatever the clock says. A newcomer is a step. */
export const stepsPerSliceMax = 24
/** Steps of those who were accepted; the others are newcomers', each of which has two or three to go. */
const stepsOfAcceptedMax = 16
/** Performed together. */
export const newcomersTogetherMax = 8

export interface SetupWork {
  readonly nowMs: () => number
  /** One step of whoever has been accepted, in the order in which it was told of. @returns false: nobody has anything to do */
  readonly goOn: () => boolean
  /** One newcomer. @returns false: there is none */
  readonly accept: () => boolean
  /** What has been asked for since the last time. */
  readonly perform: () => void
}

/** Those who were accepted go first, so that few are on their way at one time. */
export function runSetupSlice({ nowMs, goOn, accept, perform }: SetupWork): void {
  const endMs = nowMs() + sliceMs
  let steps = 0
  while (steps < stepsOfAcceptedMax && goOn()) steps += 1
  perform()
  do {
    let together = 0
    while (together < newcomersTogetherMax && steps + together < stepsPerSliceMax && accept()) together += 1
    if (together === 0) return
    steps += together
    perform()
  } while (steps < stepsPerSliceMax && nowMs() < endMs)
}
