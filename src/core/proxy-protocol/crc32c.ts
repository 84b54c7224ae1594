// CRC32c, the checksum of PROXY protocol v2 (§2.2.3), as in RFC 4960 appendix B: Castagnoli's polynomial 0x1EDC6F41 with
// its bits reversed, all ones before and a complement after. RFC 3720 §B.4 has examples. One step a byte through a table
// of 256 entries: a header has some hundred bytes, and only some have a checksum.

const reversedPolynomial = 0x82f6_3b78

const table = Uint32Array.from({ length: 256 }, (_, byte) => {
  let value = byte
  for (let bit = 0; bit < 8; bit++) value = value & 1 ? (value >>> 1) ^ reversedPolynomial : value >>> 1
  return value
})

/** An unsigned 32-bit number. */
export function crc32c(bytes: Uint8Array): number {
  let crc = 0xffff_ffff
  for (const byte of bytes) crc = (crc >>> 8) ^ (table[(crc ^ byte) & 0xff] ?? 0)
  return (crc ^ 0xffff_ffff) >>> 0
}
