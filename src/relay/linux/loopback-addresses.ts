// Addresses that the process puts on the loopback device (rtnetlink, CAP_NET_ADMIN), and takes off again when it ends.

import { networkInterfaces } from 'node:os'
import { parseIpAddress, type IpAddress } from '../../core/net/ip-address.ts'
import { decodeAnswer, encodeAddressRequest, loopbackDevice } from '../../core/net/rtnetlink.ts'
import { AF_NETLINK, allocate, check, close, EEXIST, EPERM, errnoName, free, MSG_DONTWAIT, NETLINK_ROUTE, recv, send, SOCK_CLOEXEC, SOCK_RAW, socket } from './libc.ts'

/** An answer is 36 bytes, with the request in it. */
const messageBytesMax = 1_024

/** The system did not do it; the message says what to do. */
class LoopbackAddressError extends Error {
  readonly code = 'LOOPBACK_ADDRESS'
}

export class LoopbackAddresses {
  readonly #added = new Map<string, IpAddress>()

  /**
   * @param text an IP literal
   * @returns present: one of the devices that are up has it already, and it is not ours to take off
   * @throws {LoopbackAddressError}
   */
  add(text: string): 'added' | 'present' {
    const address = parseIpAddress(text)
    if (address === undefined) throw new LoopbackAddressError(`${text} is no IP address`)
    if (isOnThisHost(text)) return 'present'
    const number = requested('add', address)
    if (number === EEXIST) return 'present'
    if (number !== 0) throw new LoopbackAddressError(`${text} can't be added to the device lo: ${describe(number, address)}`)
    this.#added.set(text, address)
    return 'added'
  }

  /**
   * What was added; once more does nothing.
   * @throws {LoopbackAddressError} and the others are off
   */
  removeAll(): void {
    const stuck: string[] = []
    for (const [text, address] of this.#added) {
      const number = requested('remove', address)
      // Somebody else may have been faster: then it is off too.
      if (number !== 0 && !(number !== EPERM && !isOnThisHost(text))) stuck.push(`${text} (${errnoName(number)})`)
    }
    this.#added.clear()
    if (stuck.length > 0) throw new LoopbackAddressError(`can't be taken off the device lo: ${stuck.join(', ')}`)
  }
}

/** In canonical text, as node has it too. */
function isOnThisHost(text: string): boolean {
  return Object.values(networkInterfaces()).some((entries) => entries?.some(({ address }) => address === text))
}

function describe(number: number, { family, bytes }: IpAddress): string {
  if (number === EPERM) return `EPERM: that needs the capability CAP_NET_ADMIN; or add it yourself (ip address add ADDRESS/${bytes.length * 8} dev lo) and leave addAddress out`
  return family === 6 ? `${errnoName(number)}; is IPv6 enabled (sysctl net.ipv6.conf.lo.disable_ipv6)?` : errnoName(number)
}

/** @returns 0 or an errno. The kernel has answered when send(2) returns. */
function requested(kind: 'add' | 'remove', address: IpAddress): number {
  const fd = check(socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE), 'socket of rtnetlink')
  const memory = allocate(messageBytesMax)
  try {
    const request = encodeAddressRequest({ kind, address, device: loopbackDevice })
    memory.bytes.set(request)
    check(send(fd, memory.address, request.length, 0), 'send to rtnetlink')
    const length = check(recv(fd, memory.address, messageBytesMax, MSG_DONTWAIT), 'recv of rtnetlink')
    const answer = decodeAnswer(memory.bytes.subarray(0, length))
    if (answer === undefined) throw new LoopbackAddressError('rtnetlink: an answer that is none')
    return answer
  } finally {
    free(memory)
    close(fd)
  }
}
