// The known name that somebody probably meant.

/** Names further away than this share of their length are no likely typing mistake. */
const distanceShareMax = 0.4
/** Longer names are not compared: the cost is the product of the lengths. */
const nameLengthMax = 64

/** @returns undefined when none is near */
export function nearestName(name: string, known: Iterable<string>): string | undefined {
  if (name.length > nameLengthMax) return undefined
  let best: { name: string; distance: number } | undefined
  for (const candidate of known) {
    if (Math.abs(candidate.length - name.length) > distanceShareMax * Math.max(candidate.length, name.length)) continue
    const distanceMax = Math.min(Math.floor(distanceShareMax * Math.max(name.length, candidate.length)), (best?.distance ?? Infinity) - 1)
    const distance = editDistance(name.toLowerCase(), candidate.toLowerCase(), distanceMax)
    if (distance !== undefined) best = { name: candidate, distance }
  }
  return best?.name
}

/** Levenshtein's; undefined when it is more than `distanceMax`. */
function editDistance(left: string, right: string, distanceMax: number): number | undefined {
  let previous = Array.from({ length: right.length + 1 }, (_, index) => index)
  for (let row = 1; row <= left.length; row++) {
    const current = [row]
    for (let column = 1; column <= right.length; column++) {
      const substitution = (previous[column - 1] ?? 0) + (left[row - 1] === right[column - 1] ? 0 : 1)
      current.push(Math.min(substitution, (previous[column] ?? 0) + 1, (current[column - 1] ?? 0) + 1))
    }
    if (Math.min(...current) > distanceMax) return undefined
    previous = current
  }
  const distance = previous.at(-1) ?? 0
  return distance > distanceMax ? undefined : distance
}
