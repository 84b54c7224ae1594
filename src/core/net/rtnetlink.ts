// Adding an address to a network device and taking it off again, in messages of Linux's rtnetlink(7).
//
//   nlmsghdr   length:32 type:16 flags:16 sequence:32 port:32
//   ifaddrmsg  family:8 prefix:8 flags:8 scope:8 device:32
//   rtattr     length:16 type:16 address         twice: as IFA_ADDRESS and as IFA_LOCAL
//
// All numbers are in host order, which is little-endian on x86-64 and arm64. The kernel answers each with NLMSG_ERROR: a
// negative errno, or 0.

import type { IpAddress } from './ip-address.ts'

const headerBytes = 16
const addressMessageBytes = 8
const attributeHeaderBytes = 4

/** <linux/netlink.h>, <linux/rtnetlink.h> */
const NLMSG_ERROR = 2
const RTM_NEWADDR = 20
const RTM_DELADDR = 21
const NLM_F_REQUEST = 0x1
const NLM_F_ACK = 0x4
const NLM_F_EXCL = 0x200
const NLM_F_CREATE = 0x400
/** Valid within the host: never the source of what leaves it. IPv6 goes by the address. */
const RT_SCOPE_HOST = 254

/** <linux/if_addr.h> */
const IFA_ADDRESS = 1
const IFA_LOCAL = 2
/** IPv6: usable at once, without looking for duplicates. */
const IFA_F_NODAD = 0x02

const addressFamilies = { 4: 2, 6: 10 } as const

/** The loopback device of every network namespace. */
export const loopbackDevice = 1

export interface AddressRequest {
  /** add fails with EEXIST where the device has the address already. */
  readonly kind: 'add' | 'remove'
  readonly address: IpAddress
  /** Its index. */
  readonly device: number
}

/** The message for the whole address alone: /32 or /128. */
export function encodeAddressRequest({ kind, address: { family, bytes: address }, device }: AddressRequest): Uint8Array {
  const attributeBytes = attributeHeaderBytes + address.length
  const bytes = new Uint8Array(headerBytes + addressMessageBytes + 2 * attributeBytes)
  const view = new DataView(bytes.buffer)
  view.setUint32(0, bytes.length, true)
  view.setUint16(4, kind === 'add' ? RTM_NEWADDR : RTM_DELADDR, true)
  view.setUint16(6, NLM_F_REQUEST | NLM_F_ACK | (kind === 'add' ? NLM_F_CREATE | NLM_F_EXCL : 0), true)
  view.setUint32(8, 1, true)
  bytes[headerBytes] = addressFamilies[family]
  bytes[headerBytes + 1] = address.length * 8
  bytes[headerBytes + 2] = family === 6 ? IFA_F_NODAD : 0
  bytes[headerBytes + 3] = family === 4 ? RT_SCOPE_HOST : 0
  view.setUint32(headerBytes + 4, device, true)
  for (const [index, type] of [IFA_ADDRESS, IFA_LOCAL].entries()) {
    const at = headerBytes + addressMessageBytes + index * attributeBytes
    view.setUint16(at, attributeBytes, true)
    view.setUint16(at + 2, type, true)
    bytes.set(address, at + attributeHeaderBytes)
  }
  return bytes
}

/** @returns 0: done · an errno · undefined: no answer to one request */
export function decodeAnswer(bytes: Uint8Array): number | undefined {
  if (bytes.length < headerBytes + 4) return undefined
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  return view.getUint16(4, true) === NLMSG_ERROR ? -view.getInt32(headerBytes, true) || 0 : undefined
}
