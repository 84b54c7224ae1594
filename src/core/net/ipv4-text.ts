// IPv4 addresses as text. A connection's is asked for as it is accepted and when it has ended, and most clients come again: the text
// of one that came before is whole already. One that is put together anew is a tree, which its first reader makes whole.

const placeBits = 10
/** Texts that are kept, each in the one place that its address has; the last one that came has it. */
export const textsMax = 2 ** placeBits

const addresses = new Uint32Array(textsMax)
const texts = Array.from({ length: textsMax }, () => '')

/** @param bytes an address in four of them, from `at` */
export function ipv4Text(bytes: Uint8Array, at: number): string {
  const a = bytes[at] ?? 0
  const b = bytes[at + 1] ?? 0
  const c = bytes[at + 2] ?? 0
  const d = bytes[at + 3] ?? 0
  const address = ((a << 24) | (b << 16) | (c << 8) | d) >>> 0
  // Knuth's multiplicative hash: its upper bits depend on all of the address.
  const place = Math.imul(address, 0x9e3779b1) >>> (32 - placeBits)
  const known = texts[place] ?? ''
  if (addresses[place] === address && known !== '') return known
  const text = [a, b, c, d].join('.')
  addresses[place] = address
  texts[place] = text
  return text
}
