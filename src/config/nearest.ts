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
    const distance = editDistance(name.toLowerCase(), candidate.toLowerCase())
    if (distance <= distanceShareMax * Math.max(name.length, candidate.length) && distance < (best?.distance ?? Infinity)) {
      best = { name: candidate, distance }
    }
  }
  return best?.name
}

/** Levenshtein's. */
function editDistance(left: string, right: string): number {
  let previous = Array.from({ length: right.length + 1 }, (_, index) => index)
  for (let row = 1; row <= left.length; row++) {
    const current = [row]
    for (let column = 1; column <= right.length; column++) {
      const substitution = (previous[column - 1] ?? 0) + (left[row - 1] === right[column - 1] ? 0 : 1)
      current.push(Math.min(substitution, (previous[column] ?? 0) + 1, (current[column - 1] ?? 0) + 1))
    }
    previous = current
  }
  return previous.at(-1) ?? 0
}
