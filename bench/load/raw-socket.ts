// A client's socket, by the relay's own FFI: non-blocking, to a port on 127.0.0.1, from any address of loopback.

import {
  AF_INET, bind, close, connect, EINPROGRESS, errno, IPPROTO_TCP, setIntOption, setResetOnClose, SOCK_CLOEXEC, SOCK_NONBLOCK, SOCK_STREAM, sockaddrInBytes, socket,
  TCP_NODELAY,
} from '../../src/relay/linux/libc.ts'
import { SocketAddressCell } from '../../src/relay/linux/socket-address.ts'

/** <linux/in.h>: the port is chosen when it connects, so that it need not differ from that of a connection to elsewhere. */
const IPPROTO_IP = 0
const IP_BIND_ADDRESS_NO_PORT = 24

const remote = new SocketAddressCell()
const local = new SocketAddressCell()

/** @returns its descriptor, connecting or connected; or -1, and `errno` tells why */
export function openSocket(port: number, source?: string): number {
  const fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0)
  if (fd === -1) return -1
  setIntOption(fd, IPPROTO_TCP, TCP_NODELAY, 1)
  remote.encode({ address: '127.0.0.1', port })
  if (bindTo(fd, source) && (connect(fd, remote.address, sockaddrInBytes) !== -1 || errno() === EINPROGRESS)) return fd
  close(fd)
  return -1
}

/** RST: leaves no TIME_WAIT behind. */
export function resetSocket(fd: number): void {
  setResetOnClose(fd)
  close(fd)
}

/** @returns false where `errno` tells why not */
export function bindTo(fd: number, source: string | undefined): boolean {
  if (source === undefined) return true
  setIntOption(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, 1)
  local.encode({ address: source, port: 0 })
  return bind(fd, local.address, sockaddrInBytes) !== -1
}
