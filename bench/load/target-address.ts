// Where connections of a load go, as connect(2) takes it: a port on 127.0.0.1, or a proxy's Unix socket, which an HTTP CONNECT
// asks for the port.
//
//   sockaddr_un   family:16 host order │ path, and a zero      (unix(7))

import { AF_INET, allocate, free, sockaddrInBytes } from '../../src/relay/linux/libc.ts'
import { SocketAddressCell } from '../../src/relay/linux/socket-address.ts'
import type { LoadTarget } from './load.ts'

const AF_UNIX = 1
/** sizeof(sun_path), the zero included. */
const pathBytesMax = 108

export interface TargetAddress {
  readonly family: number
  readonly address: number
  readonly addressBytes: number
  readonly isTcp: boolean
  readonly free: () => void
}

/** TCP's: a thread has one load at a time. */
const cell = new SocketAddressCell()

export function targetAddress({ port, connectProxy }: LoadTarget): TargetAddress {
  if (connectProxy === undefined) {
    cell.encode({ address: '127.0.0.1', port })
    return { family: AF_INET, address: cell.address, addressBytes: sockaddrInBytes, isTcp: true, free: () => undefined }
  }
  const path = Buffer.from(connectProxy)
  if (path.length >= pathBytesMax) throw new RangeError(`${connectProxy} is longer than the ${pathBytesMax - 1} bytes that the path of a Unix socket may have`)
  const memory = allocate(2 + path.length + 1)
  memory.bytes.set([AF_UNIX, 0, ...path, 0])
  return { family: AF_UNIX, address: memory.address, addressBytes: memory.bytes.length, isTcp: false, free: () => free(memory) }
}

/** @returns what the proxy is sent first; empty where there is none */
export function connectHead({ port, connectProxy, address = '127.0.0.1' }: LoadTarget): Uint8Array {
  return connectProxy === undefined ? new Uint8Array() : Buffer.from(`CONNECT ${address}:${port} HTTP/1.1\r\nHost: ${address}\r\n\r\n`)
}

/** Its answer comes in one piece: a Unix socket keeps what was written at once together. @returns what is wrong with it */
export function connectFault(answer: Uint8Array): string | undefined {
  const text = Buffer.from(answer).toString('latin1')
  if (/^HTTP\/1\.[01] 200 [^\r\n]*\r\n(?:[^\r\n]+\r\n)*\r\n$/.test(text)) return undefined
  return text === '' ? 'the proxy closed the connection' : `the proxy answered ${JSON.stringify(text.slice(0, 80))}`
}
