// CRC32c: the examples of RFC 3720 §B.4, which lists their bytes in the other order.

import { test } from 'tap'
import { crc32c } from '../../../src/core/proxy-protocol/crc32c.ts'

const ascending = Uint8Array.from({ length: 32 }, (_, index) => index)

const examples: readonly (readonly [what: string, bytes: Uint8Array, checksum: number])[] = [
  ['nothing', new Uint8Array(0), 0],
  ['32 bytes of zeros', new Uint8Array(32), 0x8a91_36aa],
  ['32 bytes of ones', new Uint8Array(32).fill(0xff), 0x62a8_ab43],
  ['32 bytes from 0 up', ascending, 0x46dd_794e],
  ['32 bytes down to 0', ascending.toReversed(), 0x113f_db5c],
  ['an iSCSI read command', Buffer.from('01c000000000000000000000000000001400000000000400000000140000001828000000000000000200000000000000', 'hex'), 0xd996_3a56],
  ['the digits 1 to 9', Buffer.from('123456789'), 0xe306_9283],
]

void test('a checksum is that of RFC 3720', async (t) => {
  for (const [what, bytes, checksum] of examples) t.equal(crc32c(bytes).toString(16), checksum.toString(16), what)
})
