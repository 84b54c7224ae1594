import { test } from 'tap'
import { parseIpAddress, type IpAddress } from '../../../src/core/net/ip-address.ts'
import { decodeAnswer, encodeAddressRequest, type AddressRequest } from '../../../src/core/net/rtnetlink.ts'

function ip(text: string): IpAddress {
  const address = parseIpAddress(text)
  if (address === undefined) throw new Error(text)
  return address
}

/** By <linux/netlink.h>, <linux/rtnetlink.h> and <linux/if_addr.h>; that the kernel takes them, test/cli/add-address.test.ts shows. */
const requests: readonly (readonly [request: AddressRequest, hex: string])[] = [
  [{ kind: 'add', address: ip('172.30.0.1'), device: 1 }, '28000000 1400 0506 01000000 00000000 02 20 00 fe 01000000 0800 0100 ac1e0001 0800 0200 ac1e0001'],
  [{ kind: 'remove', address: ip('172.30.0.1'), device: 7 }, '28000000 1500 0500 01000000 00000000 02 20 00 fe 07000000 0800 0100 ac1e0001 0800 0200 ac1e0001'],
  [{ kind: 'add', address: ip('fd00::1'), device: 1 }, `40000000 1400 0506 01000000 00000000 0a 80 02 00 01000000 1400 0100 fd${'00'.repeat(14)}01 1400 0200 fd${'00'.repeat(14)}01`],
]

void test('requests, byte for byte', (t) => {
  for (const [request, hex] of requests) t.equal(Buffer.from(encodeAddressRequest(request)).toString('hex'), hex.replaceAll(' ', ''))
  t.end()
})

const header = '24000000 0200 0000 01000000 00000000'
const answers: readonly (readonly [hex: string, errno: number | undefined])[] = [
  [`${header} 00000000`, 0],
  [`${header} ffffffff`, 1],
  [`${header} efffffff 1400`, 17],
  [header, undefined],
  ['', undefined],
  [`24000000 1400 0000 01000000 00000000 00000000`, undefined],
]

void test('the kernel’s answer', (t) => {
  for (const [hex, errno] of answers) t.equal(decodeAnswer(Buffer.from(hex.replaceAll(' ', ''), 'hex')), errno, hex)
  t.end()
})
