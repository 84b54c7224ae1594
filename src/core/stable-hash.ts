/**
 * FNV-1a over the UTF-16 units, then the last steps of MurmurHash3, so that low bits are as good as high ones.
 * The same in every process, and no protection against those who choose the text: nothing may rely on few collisions.
 * @returns a whole number, 0 to 2³²−1
 */
export function stableHash(text: string): number {
  let hash = 0x811c9dc5
  for (let index = 0; index < text.length; index++) hash = Math.imul(hash ^ text.charCodeAt(index), 0x01000193)
  return mixBits(hash)
}

/**
 * The last steps of MurmurHash3: numbers that differ in a bit give numbers that have nothing in common. None share one.
 * @returns a whole number, 0 to 2³²−1
 */
export function mixBits(bits: number): number {
  let hash = Math.imul(bits ^ (bits >>> 16), 0x85ebca6b)
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35)
  return (hash ^ (hash >>> 16)) >>> 0
}
