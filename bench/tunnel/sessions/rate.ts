// How many in a second. Pure.

/** @returns the largest number of times that lie within any one second */
export function mostInASecond(timesMs: readonly number[]): number {
  const sorted = timesMs.toSorted((one, other) => one - other)
  let [most, first] = [0, 0]
  for (const [index, timeMs] of sorted.entries()) {
    while ((sorted[first] ?? timeMs) <= timeMs - 1000) first += 1
    most = Math.max(most, index - first + 1)
  }
  return most
}
