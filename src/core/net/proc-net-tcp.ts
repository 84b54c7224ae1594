// Linux's tables of TCP sockets, /proc/net/tcp and /proc/net/tcp6: which of them wait for their peer, and which in vain.
//
//   sl  local_address rem_address   st tx_queue:rx_queue tr:tm->when retrnsmt   uid  timeout inode …       net/ipv4/tcp_ipv4.c, get_tcp4_sock
//    0: 0100007F:918B 0100007F:9DE7 01 0000000A:00000000 01:0000001C 00000003     0        0 9691327 …
//
// tr 01: bytes are in flight, and retrnsmt says how often they were sent again; 04: the peer takes no more for now, and timeout says
// how many probes of that it has left unanswered. Addresses are words of 32 bits as the machine has them.

import { formatIpAddress, ipAddressOf } from './ip-address.ts'
import { formatSocketAddress, type SocketAddress } from './socket-address.ts'

/** Longer than any line. */
export const tableLineBytesMax = 512

const waiting = /: ([0-9A-F]{8,32}):([0-9A-F]{4}) ([0-9A-F]{8,32}):([0-9A-F]{4}) [0-9A-F]{2} (?!0+:)[0-9A-F]+:[0-9A-F]+ ([0-9A-F]{2}):[0-9A-F]+ ([0-9A-F]+) +\d+ +(\d+)/g

export interface WaitingSocket {
  /** As `socketPair` has it. */
  readonly pair: string
  /** It has sent again, or probed twice, and got no answer. */
  readonly inVain: boolean
}

/** @param lines whole ones @returns sockets with bytes that their peer has not acknowledged */
export function* waitingSockets(lines: string, { isLittleEndian }: { readonly isLittleEndian: boolean }): Generator<WaitingSocket> {
  for (const [, local = '', localPort = '', remote = '', remotePort = '', timer, retransmits, probes] of lines.matchAll(waiting)) {
    const pair = socketPair(
      { address: addressOf(local, isLittleEndian), port: Number.parseInt(localPort, 16) },
      { address: addressOf(remote, isLittleEndian), port: Number.parseInt(remotePort, 16) },
    )
    yield { pair, inVain: timer === '01' ? Number.parseInt(retransmits ?? '', 16) > 0 : timer === '04' && Number(probes) >= 2 }
  }
}

/** What tells a socket from others. Addresses are canonical. */
export function socketPair(local: SocketAddress, remote: SocketAddress): string {
  return `${formatSocketAddress(local)} ${formatSocketAddress(remote)}`
}

function addressOf(words: string, isLittleEndian: boolean): string {
  const view = new DataView(new ArrayBuffer(words.length / 2))
  for (let at = 0; at < view.byteLength; at += 4) view.setUint32(at, Number.parseInt(words.slice(2 * at, 2 * at + 8), 16), isLittleEndian)
  return formatIpAddress(ipAddressOf(new Uint8Array(view.buffer)))
}
