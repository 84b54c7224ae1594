// struct sockaddr_in and sockaddr_in6 (<netinet/in.h>, ip(7), ipv6(7)) in native memory, and back.
//
//   sockaddr_in   family:16 host order │ port:16 network order │ address:32 │ zero
//   sockaddr_in6  family:16            │ port:16               │ flowinfo:32 │ address:128 │ scope:32 host order
//   sockaddr_un   family:16            │ path, and a zero behind it (unix(7))

import { formatIpAddressAt, parseIpAddress, writeIpv4 } from '../../core/net/ip-address.ts'
import { ipv4Text } from '../../core/net/ipv4-text.ts'
import type { SocketAddress } from '../../core/net/socket-address.ts'
import { AF_INET, AF_INET6, AF_UNIX, allocate, type NativeMemory, sockaddrInBytes } from './libc.ts'

/** sizeof(struct sockaddr_in6): the longest we use. */
export const socketAddressBytesMax = 28

const ipv6Bytes = 16
const ipv6At = 8

/** A peer that has left before it was asked for its address: the unspecified address stands for it. */
const unknownAddress: SocketAddress = { address: '::', port: 0 }

/** One sockaddr, and the socklen_t that calls read and write beside it. */
export class SocketAddressCell {
  readonly address: number
  readonly lengthAddress: number
  readonly #bytes: Uint8Array
  readonly #view: DataView
  readonly #length: Int32Array

  constructor() {
    const memory = allocate(4096)
    this.#bytes = memory.bytes.subarray(0, socketAddressBytesMax)
    this.#view = new DataView(memory.bytes.buffer, 0, socketAddressBytesMax)
    this.address = memory.address
    this.lengthAddress = memory.address + 32
    this.#length = new Int32Array(memory.bytes.buffer, 32, 1)
  }

  /** Before a call that writes an address here. */
  expect(): void {
    this.#length[0] = socketAddressBytesMax
  }

  /** @returns the length to pass beside `address`; undefined for what is no IP literal */
  encode({ address, port }: SocketAddress): number | undefined {
    const bytes = this.#bytes
    this.#view.setUint16(2, port)
    // Each dial asks: nothing is allocated for IPv4.
    if (writeIpv4(address, bytes, 4)) return this.#finishIpv4()
    const ip = parseIpAddress(address)
    if (ip === undefined) return undefined
    if (ip.family === 4) {
      bytes.set(ip.bytes, 4)
      return this.#finishIpv4()
    }
    setHostOrder16(bytes, AF_INET6)
    bytes.fill(0, 4)
    bytes.set(ip.bytes, ipv6At)
    return socketAddressBytesMax
  }

  #finishIpv4(): number {
    setHostOrder16(this.#bytes, AF_INET)
    for (let index = 8; index < sockaddrInBytes; index++) this.#bytes[index] = 0
    return sockaddrInBytes
  }

  get port(): number {
    return this.#view.getUint16(2)
  }

  /** 127.0.0.0/8 (RFC 1122 §3.2.1.3) and ::1 (RFC 4291 §2.5.3): never beyond this host. */
  get isLoopback(): boolean {
    const bytes = this.#bytes
    if (this.#view.getUint16(0, true) !== AF_INET6) return bytes[4] === 127
    for (let index = 0; index < ipv6Bytes - 1; index++) if (bytes[ipv6At + index] !== 0) return false
    return bytes[ipv6At + ipv6Bytes - 1] === 1
  }

  /** The address in 16 bytes, an IPv4 one as IPv4-mapped IPv6 (RFC 4291 §2.5.5.2). */
  copyTo(target: Uint8Array, at: number): void {
    if (this.#view.getUint16(0, true) === AF_INET6) {
      for (let index = 0; index < ipv6Bytes; index++) target[at + index] = this.#bytes[ipv6At + index] ?? 0
      return
    }
    for (let index = 0; index < 10; index++) target[at + index] = 0
    target[at + 10] = target[at + 11] = 0xff
    for (let index = 0; index < 4; index++) target[at + 12 + index] = this.#bytes[4 + index] ?? 0
  }

  /** What a call has written here; an IPv4-mapped address as IPv4, a link-local one without its zone. */
  decode(): SocketAddress {
    const family = this.#view.getUint16(0, true)
    const port = this.#view.getUint16(2)
    const bytes = this.#bytes
    if (family === AF_INET) return { address: ipv4Text(bytes, 4), port }
    if (family === AF_INET6) return { address: formatIpAddressAt(bytes, ipv6At), port }
    return unknownAddress
  }
}

/**
 * A sockaddr_un, until the next one.
 * @returns undefined for a path that is too long for one
 */
export function encodeUnixAddress(path: string): { readonly address: number; readonly byteLength: number } | undefined {
  const bytes = Buffer.from(path)
  if (bytes.length > unixPathBytesMax || bytes.includes(0)) return undefined
  const memory = unixAddress ??= allocate(4096)
  setHostOrder16(memory.bytes, AF_UNIX)
  memory.bytes.set(bytes, 2)
  memory.bytes[2 + bytes.length] = 0
  return { address: memory.address, byteLength: 2 + bytes.length + 1 }
}

/** sun_path, less the zero. */
const unixPathBytesMax = 107
let unixAddress: NativeMemory | undefined

/** Both architectures are little-endian. */
function setHostOrder16(bytes: Uint8Array, value: number): void {
  bytes[0] = value & 0xff
  bytes[1] = value >>> 8
}
