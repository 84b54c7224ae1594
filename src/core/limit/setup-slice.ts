// How much a thread does for those that are not relayed yet before it looks again for those that are. An accept, a hello, a dial
// each stand in the way of every byte that the thread relays, and in a storm there are thousands of them at once. So they have a
// slice of each turn, behind the bytes; what is left over waits for the next turn, which comes at once.
//
//   turn: wait │ relayed bytes │ slice ─▶ turn: no wait │ relayed bytes │ slice …
//
// Nothing waits while the thread has nothing else to do, and nothing is refused. Those that wait for their accept are in the
// kernel's queue, which is bounded.

/** Of one slice. The longest single step, an accept with a hello and a dial, is a quarter of it on a machine of 2025. */
const sliceMs = 0.25
/** Of one slice, whatever the clock says. */
export const stepsPerSliceMax = 16
/** Of so many steps one is a newcomer's, whatever those before it still have to do: each of them has two or three to go. */
const stepsPerNewcomer = 4

export interface SetupWork {
  readonly nowMs: () => number
  /** One step of whoever has been accepted, in the order in which it was told of. @returns false: nobody has anything to do */
  readonly goOn: () => boolean
  /** One newcomer. @returns false: there is none */
  readonly accept: () => boolean
}

/** Those who were accepted go first, so that few are on their way at one time. */
export function runSetupSlice({ nowMs, goOn, accept }: SetupWork): void {
  const endMs = nowMs() + sliceMs
  for (let step = 1; step <= stepsPerSliceMax; step++) {
    const isNewcomers = step % stepsPerNewcomer === 0
    if (!(isNewcomers ? accept() || goOn() : goOn() || accept()) || nowMs() >= endMs) return
  }
}
