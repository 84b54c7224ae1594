// Every header that we can be asked to send.

import fc from 'fast-check'
import type { SocketAddress } from '../../../src/core/net/socket-address.ts'
import { canonicalAddress } from '../../../src/core/net/ip-address.ts'
import type { ProxyHeaderOptions } from '../../../src/core/proxy-protocol/encode.ts'

const address = fc.oneof(fc.ipV4(), fc.ipV6(), fc.ipV4().map((ipv4) => `::ffff:${ipv4}`)).map((text) => canonicalAddress(text) ?? text)
const end: fc.Arbitrary<SocketAddress> = fc.record({ address, port: fc.nat(65_535) })
const wellFormedText = fc.string({ unit: 'binary', maxLength: 255 })

export const header: fc.Arbitrary<ProxyHeaderOptions> = fc.oneof(
  fc.record({ version: fc.constant('v1'), source: end, destination: end }),
  fc.record({
    version: fc.constant('v2'), source: end, destination: end,
    authority: wellFormedText, uniqueId: fc.uint8Array({ maxLength: 128 }), crc32c: fc.boolean(),
  }, { requiredKeys: ['version', 'source', 'destination'] }),
)
