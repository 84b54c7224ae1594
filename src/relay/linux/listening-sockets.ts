// The listening sockets of one listener, one for each worker, bound to one address (SO_REUSEPORT, socket(7)): the system
// spreads connections over them. They belong to the main thread, so that a worker that dies takes no backlog with it.

import type { SocketAddress } from '../../core/net/socket-address.ts'
import type { ListenOptions } from '../driver.ts'
import * as libc from './libc.ts'
import { SocketAddressCell } from './socket-address.ts'

/** Connections that the system completes before we accept them: four seconds of a storm. It applies its own cap (net.core.somaxconn). */
const listenBacklog = 16_384
/**
 * The system hands a connection over when its first bytes have come, so that accepting finds the hello; or bare, once it
 * has sent its SYN+ACK again, which it does for so long.
 */
const deferAcceptSeconds = 1

export interface ListeningSockets {
  /** By worker. */
  readonly fds: readonly number[]
  readonly bound: SocketAddress
}

/**
 * @throws {SystemError} EADDRINUSE also where another process has the port with SO_REUSEPORT: two gateways that share one
 *   by mistake would each get half of the connections
 */
export function openListeningSockets(address: SocketAddress, { ipv6Only }: ListenOptions, count: number): ListeningSockets {
  const cell = new SocketAddressCell()
  const fds: number[] = []
  try {
    let wanted = address
    for (let index = 0; index < count; index++) {
      const length = cell.encode(wanted)
      if (length === undefined) throw new Error(`${address.address} is no IP address`)
      const ipv6 = length !== libc.sockaddrInBytes
      const fd = libc.check(libc.socket(ipv6 ? libc.AF_INET6 : libc.AF_INET, libc.SOCK_STREAM | libc.SOCK_NONBLOCK | libc.SOCK_CLOEXEC, 0), 'socket')
      fds.push(fd)
      option(fd, libc.SOL_SOCKET, libc.SO_REUSEADDR, 1)
      if (ipv6) option(fd, libc.IPPROTO_IPV6, libc.IPV6_V6ONLY, ipv6Only ? 1 : 0)
      // The first is bound without SO_REUSEPORT, which fails where anybody else has the port, and gets it afterwards.
      if (index > 0) option(fd, libc.SOL_SOCKET, libc.SO_REUSEPORT, 1)
      libc.check(libc.bind(fd, cell.address, length), 'bind')
      if (index === 0 && count > 1) option(fd, libc.SOL_SOCKET, libc.SO_REUSEPORT, 1)
      // Accepted sockets have these from the start.
      option(fd, libc.IPPROTO_TCP, libc.TCP_NODELAY, 1)
      option(fd, libc.IPPROTO_TCP, libc.TCP_DEFER_ACCEPT, deferAcceptSeconds)
      wanted = boundAddress(fd, cell)
    }
    for (const fd of fds) libc.check(libc.listen(fd, listenBacklog), 'listen')
    return { fds, bound: wanted }
  } catch (error) {
    closeAll(fds)
    throw error
  }
}

export function closeAll(fds: readonly number[]): void {
  for (const fd of fds) libc.close(fd)
}

function option(fd: number, level: number, name: number, value: number): void {
  libc.check(libc.setIntOption(fd, level, name, value), 'setsockopt')
}

function boundAddress(fd: number, cell: SocketAddressCell): SocketAddress {
  cell.expect()
  libc.check(libc.getsockname(fd, cell.address, cell.lengthAddress), 'getsockname')
  return cell.decode()
}
