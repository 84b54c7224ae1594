// System calls of Linux, as typed functions: the only file with FFI (koffi). What a call needs beyond numbers lives in
// memory from mmap(2), which neither moves nor is collected while the kernel writes into it.
//
// A call that fails returns -1 and `errno()` tells why, as in C: the relay's loop must not allocate an error for EAGAIN.
// `check` turns -1 into a SystemError where failing is not the ordinary case. Constants stand with their header; they are
// those of the generic ABI that x86-64 and arm64 share, but for the layout of epoll_event.

import { constants } from 'node:os'
import { getSystemErrorMessage, getSystemErrorName } from 'node:util'
import koffi from 'koffi'
import { owed, type Owed } from '../../core/peer-silence.ts'

/** The process itself: node is linked with its libc, glibc or musl. */
const process_ = koffi.load(null)

const int = 'int'
const size = 'size_t'
/** A pointer as a plain number: user space ends below 2^47 (x86-64) or 2^48 (arm64), far below 2^53. */
const pointer = 'intptr_t'
const ssize = 'intptr_t'

type Call<Arguments extends readonly number[]> = (...args: Arguments) => number

function call<Arguments extends readonly number[]>(name: string, result: string, args: string[]): Call<Arguments> {
  const bound: Call<Arguments> = process_.func(name, result, args)
  return bound
}

// <sys/socket.h>
export const socket = call<[domain: number, type: number, protocol: number]>('socket', int, [int, int, int])
export const bind = call<[fd: number, address: number, addressBytes: number]>('bind', int, [int, pointer, int])
export const listen = call<[fd: number, backlog: number]>('listen', int, [int, int])
export const accept4 = call<[fd: number, address: number, addressBytes: number, flags: number]>('accept4', int, [int, pointer, pointer, int])
export const connect = call<[fd: number, address: number, addressBytes: number]>('connect', int, [int, pointer, int])
export const recv = call<[fd: number, buffer: number, bytes: number, flags: number]>('recv', ssize, [int, pointer, size, int])
export const send = call<[fd: number, buffer: number, bytes: number, flags: number]>('send', ssize, [int, pointer, size, int])
const sendmsg = call<[fd: number, message: number, flags: number]>('sendmsg', ssize, [int, pointer, int])
export const shutdown = call<[fd: number, how: number]>('shutdown', int, [int, int])
export const getsockname = call<[fd: number, address: number, addressBytes: number]>('getsockname', int, [int, pointer, pointer])
const setsockopt = call<[fd: number, level: number, name: number, value: number, bytes: number]>('setsockopt', int, [int, int, int, pointer, int])
const getsockopt = call<[fd: number, level: number, name: number, value: number, bytes: number]>('getsockopt', int, [int, int, int, pointer, pointer])

// <unistd.h>, <fcntl.h>, <sys/eventfd.h>, <sys/ioctl.h>. fcntl and ioctl are variadic; with one integer behind the request
// both ABIs pass it as they pass a declared argument.
export const close = call<[fd: number]>('close', int, [int])
export const read = call<[fd: number, buffer: number, bytes: number]>('read', ssize, [int, pointer, size])
export const write = call<[fd: number, buffer: number, bytes: number]>('write', ssize, [int, pointer, size])
const pipe2 = call<[fds: number, flags: number]>('pipe2', int, [pointer, int])
export const splice = call<[from: number, fromOffset: number, to: number, toOffset: number, bytes: number, flags: number]>('splice', ssize, [int, pointer, int, pointer, size, 'uint'])
export const fcntl = call<[fd: number, command: number, argument: number]>('fcntl', int, [int, int, pointer])
export const eventfd = call<[initial: number, flags: number]>('eventfd', int, ['uint', int])
const sysconf = call<[name: number]>('sysconf', 'long', [int])
const ioctl = call<[fd: number, request: number, argument: number]>('ioctl', int, [int, 'ulong', pointer])

// <sys/epoll.h>
const epoll_create1 = call<[flags: number]>('epoll_create1', int, [int])
const epoll_wait = call<[epoll: number, events: number, eventsMax: number, timeoutMs: number]>('epoll_wait', int, [int, pointer, int, int])
const epoll_ctl = call<[epoll: number, operation: number, fd: number, event: number]>('epoll_ctl', int, [int, int, int, pointer])

// <sys/mman.h>
const mmap = call<[address: number, bytes: number, protection: number, flags: number, fd: number, offset: number]>('mmap', pointer, [pointer, size, int, int, int, 'int64_t'])
const munmap = call<[address: number, bytes: number]>('munmap', int, [pointer, size])

// <sys/syscall.h>, for what libc has no function of; the numbers are those of every architecture since 2018.
const systemCall = call<[number: number, a: number, b: number, c: number, d: number, e: number, f: number]>('syscall', 'long', ['long', pointer, pointer, pointer, pointer, pointer, pointer])
const SYS_io_uring_setup = 425
const SYS_io_uring_enter = 426
/** Older than that, so each architecture has its own. */
const SYS_bpf = process.arch === 'x64' ? 321 : 280

export const AF_UNIX = 1
export const AF_INET = 2
export const AF_INET6 = 10
export const AF_NETLINK = 16
export const SOCK_STREAM = 1
export const SOCK_RAW = 3
export const SOCK_NONBLOCK = 0o4000
export const SOCK_CLOEXEC = 0o2000000
export const MSG_DONTWAIT = 0x40
export const MSG_NOSIGNAL = 0x4000
export const SHUT_WR = 1

/** <linux/netlink.h> */
export const NETLINK_ROUTE = 0

export const SOL_SOCKET = 1
export const SO_REUSEADDR = 2
export const SO_ERROR = 4
export const SO_KEEPALIVE = 9
const SO_SNDBUF = 7
const SO_RCVBUF = 8
const SO_LINGER = 13
export const SO_REUSEPORT = 15
export const SO_RCVLOWAT = 18
const SO_ATTACH_FILTER = 26
/** Of a filter of either kind. */
const SO_DETACH_FILTER = 27
const SO_RCVBUFFORCE = 33
export const SO_ATTACH_BPF = 50
/** Of its numbers the first is the memory of what was received and not read. */
const SO_MEMINFO = 55
const SO_COOKIE = 57
/** Since Linux 5.15: which buffers' sizes were set, rather than found by the system. */
const SO_BUF_LOCK = 72

// <netinet/tcp.h>, <netinet/in.h>
export const IPPROTO_TCP = 6
export const TCP_NODELAY = 1
const TCP_KEEPIDLE = 4
const TCP_KEEPINTVL = 5
const TCP_KEEPCNT = 6
export const TCP_DEFER_ACCEPT = 9
const TCP_INFO = 11
export const TCP_QUICKACK = 12
const TCP_REPAIR = 19
const TCP_REPAIR_QUEUE = 20
const TCP_QUEUE_SEQ = 21
/** Linux 6.15; <linux/tcp.h>. */
const TCP_RTO_MAX_MS = 44
/** For TCP_REPAIR: off again, and no probe is sent. */
const repairOffSilently = -1
/** For TCP_REPAIR_QUEUE (TCP_RECV_QUEUE). */
const receiveQueue = 1
export const IPPROTO_IPV6 = 41
export const IPV6_V6ONLY = 26

export const EFD_NONBLOCK = 0o4000
export const EFD_CLOEXEC = 0o2000000
const O_NONBLOCK = 0o4000
const O_CLOEXEC = 0o2000000
/** <fcntl.h>: the lowest free descriptor that is not below the argument. */
export const F_DUPFD_CLOEXEC = 1030
/** <fcntl.h>: of a pipe, in bytes; F_SETPIPE_SZ answers with what was set. */
export const F_SETPIPE_SZ = 1031
export const SPLICE_F_MOVE = 1
export const SPLICE_F_NONBLOCK = 2
/** <linux/sockios.h>: bytes in the send queue, unacknowledged ones included. */
const SIOCOUTQ = 0x5411
/** Bytes in the receive queue. */
const SIOCINQ = 0x541b

export const EPOLL_CTL_ADD = 1
const EPOLL_CTL_DEL = 2
const EPOLL_CTL_MOD = 3
export const EPOLLIN = 0x1
export const EPOLLPRI = 0x2
export const EPOLLOUT = 0x4
export const EPOLLERR = 0x8
export const EPOLLHUP = 0x10
export const EPOLLRDHUP = 0x2000
export const EPOLLET = 2 ** 31
const EPOLL_CLOEXEC = 0o2000000

const _SC_PAGESIZE = 30
const PROT_READ = 0x1
const PROT_READ_WRITE = 0x3
const MAP_SHARED = 0x1
const MAP_PRIVATE_ANONYMOUS = 0x22
const MAP_SHARED_POPULATE = 0x8001

/** sizeof(struct sockaddr_in), <netinet/in.h> */
export const sockaddrInBytes = 16

const { ETIMEDOUT, EHOSTUNREACH, ENETUNREACH } = constants.errno
export const { EAGAIN, EINTR, EINVAL, ENOSYS, EINPROGRESS, ECONNREFUSED, ECONNRESET, EMFILE, ENFILE, ENOBUFS, ENOMEM, EPERM, EEXIST } = constants.errno

// libuv, which node exports (uv.h, node_api.h).
const uv_walk = call<[loop: number, each: number, argument: number]>('uv_walk', 'void', [pointer, pointer, pointer])
const uv_handle_get_type = call<[handle: number]>('uv_handle_get_type', int, [pointer])
const uv_fileno = call<[handle: number, fd: number]>('uv_fileno', int, [pointer, pointer])
const uv_poll_start = call<[handle: number, events: number, callback: number]>('uv_poll_start', int, [pointer, int, pointer])
const UV_POLL = 8
const UV_READABLE = 1
const pollCallback = koffi.pointer(koffi.proto('void (intptr_t handle, int status, int events)'))
const walkCallback = koffi.pointer(koffi.proto('void (intptr_t handle, intptr_t argument)'))

/** A descriptor that the loop of this thread's node watches. */
export interface LoopWatch {
  /** Whether it keeps the loop alive. */
  hold(held: boolean): void
}

/**
 * Has the loop of this thread's node call `readable` while the descriptor is: an epoll instance, while one of its own has an event.
 * It is called from no scope of node's: it must not throw, and promises wait until something else has run.
 */
export function watchInLoop(fd: number, readable: () => void): LoopWatch {
  // koffi's handle lives and ends with the loop. Its own callback would end the process, though, where JavaScript can't be called
  // any more, in a thread that is being stopped or has run out of memory; a registered one does nothing then.
  const handle = koffi.node.poll(fd, { readable: true }, () => undefined)
  check(uv_poll_start(pollHandleOf(fd), UV_READABLE, Number(koffi.register(readable, pollCallback))), 'uv_poll_start')
  return {
    hold: (held) => {
      if (held) handle.ref()
      else handle.unref()
    },
  }
}

function pollHandleOf(fd: number): number {
  const getLoop = process_.func('napi_get_uv_event_loop', int, ['void *', pointer])
  getLoop(koffi.node.env, scratch.address)
  const loop = Number(new BigInt64Array(scratch.bytes.buffer, 0, 1)[0])
  let found = 0
  const each = koffi.register((handle: number) => {
    if (uv_handle_get_type(handle) === UV_POLL && uv_fileno(handle, scratch.address) === 0 && scratchInts[0] === fd) found = handle
  }, walkCallback)
  uv_walk(loop, Number(each), 0)
  koffi.unregister(each)
  return found
}

/** Why this thread's last call failed. Only right after a call that returned -1. */
export const errno: () => number = koffi.errno

/** A system call failed where that is not the ordinary case. `code` is the name of its errno. */
export class SystemError extends Error {
  readonly code: string
  readonly errno: number

  constructor(what: string, number: number) {
    const code = getSystemErrorName(-number)
    super(`${what}: ${code} (${getSystemErrorMessage(-number)})`)
    this.code = code
    this.errno = number
  }
}

/** @throws {SystemError} where `result` is -1 */
export function check(result: number, what: string): number {
  if (result === -1) throw new SystemError(what, errno())
  return result
}

/** Of an open connection: the end of keepalive's or retransmission's patience, rather than RST. */
export function isUnresponsive(error: number): boolean {
  return error === ETIMEDOUT || error === EHOSTUNREACH || error === ENETUNREACH
}

/** 4096, or 16 or 64 KiB on some arm64. */
export const pageBytes = sysconf(_SC_PAGESIZE)

/** The name of an errno, `ECONNREFUSED`. */
export function errnoName(number: number): string {
  return getSystemErrorName(-number)
}

/** Memory outside the heap of JavaScript, zeroed and aligned to a page; pages take no room before they are written. */
export interface NativeMemory {
  readonly address: number
  readonly bytes: Uint8Array
}

/** Of this thread: what is mapped, by address. */
const mapped = new Map<number, number>()

/** @throws {SystemError} ENOMEM */
export function allocate(byteLength: number): NativeMemory {
  const address = check(mmap(0, byteLength, PROT_READ_WRITE, MAP_PRIVATE_ANONYMOUS, -1, 0), 'mmap')
  mapped.set(address, byteLength)
  return { address, bytes: new Uint8Array(koffi.view(BigInt(address), byteLength)) }
}

/** Of memory of JavaScript's that does not move, as buffers of more than 64 bytes don't; good while the caller holds them. */
export function addressOf(bytes: Uint8Array): number {
  return Number(koffi.address(bytes))
}

/** Its bytes must not be touched afterwards. */
export function free({ address, bytes }: NativeMemory): void {
  check(munmap(address, bytes.byteLength), 'munmap')
  mapped.delete(address)
}

/** What this thread has mapped so far: for `freeAllBut`. */
export function mappedAddresses(): ReadonlySet<number> {
  return new Set(mapped.keys())
}

/** Everything else that this thread has mapped. Its bytes must not be touched afterwards. */
export function freeAllBut(kept: ReadonlySet<number>): void {
  for (const [address, byteLength] of mapped) {
    if (kept.has(address)) continue
    munmap(address, byteLength)
    mapped.delete(address)
  }
}

/** Everything that this thread has mapped, before it ends: the system would keep it as long as the process. No call works afterwards. */
export function freeAll(): void {
  freeAllBut(new Set())
}

/** @returns a descriptor, or -1 */
export function ioUringSetup(entries: number, params: number): number {
  return systemCall(SYS_io_uring_setup, entries, params, 0, 0, 0, 0)
}

/** @returns how many were submitted, or -1 */
export function ioUringEnter(fd: number, toSubmit: number, minComplete: number, flags: number): number {
  return systemCall(SYS_io_uring_enter, fd, toSubmit, minComplete, flags, 0, 0)
}

/**
 * A part of an io_uring, shared with the kernel.
 * @throws {SystemError}
 */
export function mapRing(fd: number, offset: number, byteLength: number): Int32Array {
  const address = check(mmap(0, byteLength, PROT_READ_WRITE, MAP_SHARED_POPULATE, fd, offset), 'mmap of an io_uring')
  mapped.set(address, byteLength)
  return new Int32Array(koffi.view(BigInt(address), byteLength))
}

/** bpf(2). @param attributes the address of a union bpf_attr, of so many bytes. @returns a descriptor or 0, or -1 */
export function bpf(command: number, attributes: number, byteLength: number): number {
  return systemCall(SYS_bpf, command, attributes, byteLength, 0, 0, 0)
}

/**
 * A part of a BPF map, shared with the kernel and its programs; it keeps the map until it is unmapped.
 * @throws {SystemError}
 */
export function mapShared(fd: number, { offset, byteLength, writable }: { readonly offset: number; readonly byteLength: number; readonly writable: boolean }): NativeMemory {
  const address = check(mmap(0, byteLength, writable ? PROT_READ_WRITE : PROT_READ, MAP_SHARED, fd, offset), 'mmap of a BPF map')
  mapped.set(address, byteLength)
  return { address, bytes: new Uint8Array(koffi.view(BigInt(address), byteLength)) }
}

const scratch = allocate(4096)
const scratchInts = new Int32Array(scratch.bytes.buffer, 0, 4)

/** @returns 0 or -1 */
export function setIntOption(fd: number, level: number, name: number, value: number): number {
  scratchInts[0] = value
  return setsockopt(fd, level, name, scratch.address, 4)
}

/** Into `scratchInts[0]`. @returns 0 or -1 */
function readIntOption(fd: number, level: number, name: number): number {
  scratchInts[0] = 0
  scratchInts[1] = 4
  return getsockopt(fd, level, name, scratch.address, scratch.address + 4)
}

/** @throws {SystemError} */
export function getIntOption(fd: number, level: number, name: number): number {
  check(readIntOption(fd, level, name), 'getsockopt')
  return scratchInts[0] ?? 0
}

/** SO_LINGER with no time: close(2) discards what is unsent and sends RST. */
export function setResetOnClose(fd: number): void {
  scratchInts[0] = 1
  scratchInts[1] = 0
  setsockopt(fd, SOL_SOCKET, SO_LINGER, scratch.address, 8)
}

/** Bytes that were given to the system and not acknowledged by the peer. 0 where the socket can't tell any more. */
export function unacknowledgedBytes(fd: number): number {
  scratchInts[0] = 0
  return ioctl(fd, SIOCOUTQ, scratch.address) === -1 ? 0 : scratchInts[0]
}

/**
 * struct tcp_info in <linux/tcp.h>: eight bytes, of which tcpi_state is the first, tcpi_retransmits the third and tcpi_probes the fourth, then
 * 32-bit numbers, of which tcpi_unacked is the fifth, tcpi_last_data_recv the 12th and tcpi_last_ack_recv the 13th.
 */
const tcpInfoBytes = 64
const retransmitsByte = 2
const probesByte = 3
const unackedInt = 2 + 4
const lastDataReceivedInt = 2 + 11
const lastAckReceivedInt = 2 + 12
const tcpInfoInts = new Uint32Array(scratch.bytes.buffer, 0, tcpInfoBytes / 4)
const tcpInfoLengthAt = 128
const tcpInfoLength = new Int32Array(scratch.bytes.buffer, tcpInfoLengthAt, 1)

/** @returns false where the socket can't tell */
function readTcpInfo(fd: number): boolean {
  tcpInfoLength[0] = tcpInfoBytes
  return getsockopt(fd, IPPROTO_TCP, TCP_INFO, scratch.address, scratch.address + tcpInfoLengthAt) !== -1
}

/** <net/tcp_states.h>, in tcpi_state, the first byte. */
const tcpState = { established: 1, timeWait: 6, close: 7, closeWait: 8, lastAck: 9, closing: 11 } as const

/** The connection is over for both sides, as after RST: nothing comes any more, though bytes may be left to read. */
export function isClosed(fd: number): boolean {
  return readTcpInfo(fd) && scratch.bytes[0] === tcpState.close
}

/** Both sides are open, and something has come that was not read, be it out of turn. */
export function holdsBytes(fd: number): boolean {
  return readTcpInfo(fd) && scratch.bytes[0] === tcpState.established && getIntOption(fd, SOL_SOCKET, SO_MEMINFO) > 0
}

/** Connections in a listener's queue: its tcpi_unacked (tcp_get_info in net/ipv4/tcp.c). 0 where the socket can't tell. */
export function queuedConnections(fd: number): number {
  return readTcpInfo(fd) ? tcpInfoInts[unackedInt] ?? 0 : 0
}

/** In the same structure, behind tcpi_max_pacing_rate, 64 bits each. */
const bytesAckedInt = 120 / 4
const bytesReceivedInt = 128 / 4
/** tcpi_notsent_bytes, since Linux 4.6. */
const unsentInt = 144 / 4
/** tcpi_advmss, and tcpi_rcv_wnd, which Linux 6.2 was the first to tell. */
const ownSegmentInt = 84 / 4
const receiveWindowInt = 232 / 4
const longTcpInfoBytes = 236
const longTcpInfoInts = new Uint32Array(scratch.bytes.buffer, 0, longTcpInfoBytes / 4)
const longTcpInfoLengthAt = 256
const longTcpInfoLength = new Int32Array(scratch.bytes.buffer, longTcpInfoLengthAt, 1)

/** @returns false where the socket can't tell */
function readLongTcpInfo(fd: number): boolean {
  longTcpInfoLength[0] = longTcpInfoBytes
  return getsockopt(fd, IPPROTO_TCP, TCP_INFO, scratch.address, scratch.address + longTcpInfoLengthAt) !== -1
}

function longTcpInfo(int: number): number {
  return (longTcpInfoInts[int] ?? 0) + (longTcpInfoInts[int + 1] ?? 0) * 2 ** 32
}

/** What `readPeerSigns` read last: one record, so that it allocates nothing. */
export const peerSigns: { owes: Owed; silentMs: number } = {
  owes: owed.nothing,
  /** Since anything came. */
  silentMs: 0,
}

/** @returns false where the socket can't tell, or both sides have ended, be there still something to read */
export function readPeerSigns(fd: number): boolean {
  if (!readLongTcpInfo(fd) || scratch.bytes[0] === tcpState.close) return false
  if (longTcpInfoInts[unackedInt] !== 0) peerSigns.owes = scratch.bytes[retransmitsByte] === 0 ? owed.acknowledgement : owed.inVain
  // Keepalive counts its probes there too, where nothing waits.
  else if (longTcpInfoInts[unsentInt] !== 0) peerSigns.owes = (scratch.bytes[probesByte] ?? 0) < 2 ? owed.room : owed.inVain
  else peerSigns.owes = owed.nothing
  // Data that acknowledges nothing new is no acknowledgement to the kernel.
  peerSigns.silentMs = Math.min(longTcpInfoInts[lastAckReceivedInt] ?? 0, longTcpInfoInts[lastDataReceivedInt] ?? 0)
  return true
}

/** The most that TCP_KEEPCNT and TCP_KEEPINTVL take: the kernel neither judges nor asks again by itself, whatever the system's settings are. */
const keepaliveProbesMax = 127
const keepaliveSecondsMax = 32_767

/** For `askPeer`. */
export function letAskPeer(fd: number): void {
  setIntOption(fd, IPPROTO_TCP, TCP_KEEPCNT, keepaliveProbesMax)
  setIntOption(fd, IPPROTO_TCP, TCP_KEEPINTVL, keepaliveSecondsMax)
  setIntOption(fd, IPPROTO_TCP, TCP_KEEPIDLE, keepaliveSecondsMax)
  setIntOption(fd, SOL_SOCKET, SO_KEEPALIVE, 1)
}

/**
 * A keepalive probe, at the next tick of the kernel's clock, to a peer that has been silent for a second and owes nothing. A set TCP_KEEPIDLE begins anew, and what
 * has been silent for longer is due at once (do_tcp_setsockopt, tcp_keepalive_timer).
 */
export function askPeer(fd: number): void {
  setIntOption(fd, IPPROTO_TCP, TCP_KEEPIDLE, 1)
}

/** What is not acknowledged, or finds no room, is sent again after so long at the most. 0 where the system does not tell: before Linux 6.15 the wait doubles up to two minutes. */
export function sendAgainMs(fd: number): number {
  return readIntOption(fd, IPPROTO_TCP, TCP_RTO_MAX_MS) === -1 ? 0 : scratchInts[0] ?? 0
}

/** Sets it. */
export function sendAgainWithin(fd: number, ms: number): void {
  setIntOption(fd, IPPROTO_TCP, TCP_RTO_MAX_MS, ms)
}

/** Bytes that the peer has acknowledged; its SYN may count as one. -1 where the socket can't tell. */
export function acknowledgedBytes(fd: number): number {
  return readLongTcpInfo(fd) ? longTcpInfo(bytesAckedInt) : -1
}

/** Bytes that have come in order; FIN counts as one. -1 where the socket can't tell. */
export function receivedBytes(fd: number): number {
  return readLongTcpInfo(fd) ? longTcpInfo(bytesReceivedInt) : -1
}

/** Of the receive window that the peer was told, what is beyond so many segments of the most that it may send. 0 where the socket can't tell. */
export function receiveWindowBeyond(fd: number, segments: number): number {
  if (!readLongTcpInfo(fd) || (longTcpInfoLength[0] ?? 0) < longTcpInfoBytes) return 0
  return Math.max(0, (longTcpInfoInts[receiveWindowInt] ?? 0) - segments * (longTcpInfoInts[ownSegmentInt] ?? 0))
}

/** An acknowledgement may come between two calls, but not between every two. */
const givenLooksMax = 16

/** Bytes that were given to the send queue by whomever; only differences mean something. -1 where the socket can't tell. */
export function givenBytes(fd: number): number {
  let acknowledged = acknowledgedBytes(fd)
  for (let look = 0; look < givenLooksMax; look++) {
    const given = acknowledged + unacknowledgedBytes(fd)
    const before = acknowledged
    acknowledged = acknowledgedBytes(fd)
    if (acknowledged === before) return given
  }
  return -1
}

/** Bytes that have come and were not read; of a socket in a sockmap, newer kernels tell of what was passed only. 0 where the socket can't tell. */
export function unreadBytes(fd: number): number {
  return ioctl(fd, SIOCINQ, scratch.address) === -1 ? 0 : scratchInts[0] ?? 0
}

function hasReceivedFin(state: number | undefined): boolean {
  return state === tcpState.closeWait || state === tcpState.lastAck || state === tcpState.closing || state === tcpState.timeWait
}

/** Bytes that have come and were taken out of the receive queue, by whomever. -1 where the socket can't tell, as after RST. */
export function takenBytes(fd: number): number {
  let received = receivedBytes(fd)
  for (let look = 0; look < givenLooksMax; look++) {
    const state = scratch.bytes[0]
    // Fewer than none: some were taken twice.
    const unread = Math.max(0, unreadBytes(fd))
    const before = received
    received = receivedBytes(fd)
    if (received === -1 || scratch.bytes[0] === tcpState.close) return -1
    if (received === before && scratch.bytes[0] === state) return received - unread - (hasReceivedFin(state) ? 1 : 0)
  }
  return -1
}

export interface StreamPositions {
  /** As `givenBytes` and `takenBytes` tell. */
  readonly given: number
  readonly taken: number
  /** The sequence number of the first byte that was not taken. */
  readonly next: number
}

/** All at one moment. Takes CAP_NET_ADMIN. @returns undefined where the socket can't tell */
export function streamPositions(fd: number): StreamPositions | undefined {
  const reuse = getIntOption(fd, SOL_SOCKET, SO_REUSEADDR)
  if (setIntOption(fd, IPPROTO_TCP, TCP_REPAIR, 1) === -1) return undefined
  const positions = setIntOption(fd, IPPROTO_TCP, TCP_REPAIR_QUEUE, receiveQueue) === -1 ? undefined : readPositions(fd)
  // Nothing is sent for it, and the address may be used again as before.
  setIntOption(fd, IPPROTO_TCP, TCP_REPAIR, repairOffSilently)
  if (reuse !== 0) setIntOption(fd, SOL_SOCKET, SO_REUSEADDR, reuse)
  return positions
}

function readPositions(fd: number): StreamPositions | undefined {
  for (let look = 0; look < givenLooksMax; look++) {
    const [received, acknowledged, state] = [receivedBytes(fd), longTcpInfo(bytesAckedInt), scratch.bytes[0]]
    const [unacknowledged, unread, end] = [unacknowledgedBytes(fd), Math.max(0, unreadBytes(fd)), getIntOption(fd, IPPROTO_TCP, TCP_QUEUE_SEQ)]
    if (received === -1 || state === tcpState.close) return undefined
    if (receivedBytes(fd) !== received || longTcpInfo(bytesAckedInt) !== acknowledged || scratch.bytes[0] !== state) continue
    const untaken = unread + (hasReceivedFin(state) ? 1 : 0)
    return { given: acknowledged + unacknowledged, taken: received - untaken, next: (end - untaken) >>> 0 }
  }
  return undefined
}

/** What the send queue may hold, the system's overhead included. 0 where the socket can't tell. */
export function sendBufferBytes(fd: number): number {
  return readIntOption(fd, SOL_SOCKET, SO_SNDBUF) === -1 ? 0 : scratchInts[0] ?? 0
}

/** What the receive queue may hold, the system's overhead included. 0 where the socket can't tell. */
export function receiveBufferBytes(fd: number): number {
  return readIntOption(fd, SOL_SOCKET, SO_RCVBUF) === -1 ? 0 : scratchInts[0] ?? 0
}

/** Takes CAP_NET_ADMIN. The system goes on from there as it finds fit. */
export function resizeReceiveBuffer(fd: number, bytes: number): void {
  // It doubles what it is told.
  setIntOption(fd, SOL_SOCKET, SO_RCVBUFFORCE, bytes / 2)
  setIntOption(fd, SOL_SOCKET, SO_BUF_LOCK, 0)
}

/** Writes the number that names this socket, and no other since the system's start: 64 bits. @returns 0 or -1 */
export function readCookie(fd: number, to: number): number {
  scratchInts[0] = 8
  return getsockopt(fd, SOL_SOCKET, SO_COOKIE, to, scratch.address)
}

/** struct sock_filter in <linux/filter.h>. */
export const filterInstructionBytes = 8

/**
 * Packets to the socket are run through the program, a classic one (<linux/filter.h>), in place of one that it had. Sockets that are
 * accepted from it begin with its filter.
 * @returns 0 or -1
 */
export function attachFilter(fd: number, program: Uint8Array): number {
  // struct sock_fprog: how many, and where, 64 bits each on these machines.
  const address = addressOf(program)
  scratchInts.set([program.length / filterInstructionBytes, 0, address | 0, Math.floor(address / 2 ** 32)])
  return setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, scratch.address, 16)
}

/** Of either kind. A socket that has none stays as it is. */
export function detachFilter(fd: number): void {
  setIntOption(fd, SOL_SOCKET, SO_DETACH_FILTER, 0)
}

/** <limits.h>: 1024; so many are enough. */
const piecesMax = 64
const pieceInts = 4
/** struct msghdr in <sys/socket.h>, of which msg_iov is at 16 and msg_iovlen at 24, then as many struct iovec: an address and a length, 64 bits each. */
const messageBytes = 64

/** What one call sends, from several places. */
export class Pieces {
  readonly #address: number
  readonly #ints: Uint32Array
  #count = 0
  bytes = 0

  /** @throws {SystemError} */
  constructor() {
    const memory = allocate(messageBytes + piecesMax * pieceInts * 4)
    this.#address = memory.address
    this.#ints = new Uint32Array(memory.bytes.buffer, 0, messageBytes / 4 + piecesMax * pieceInts)
    this.#put(4, memory.address + messageBytes)
  }

  get isFull(): boolean {
    return this.#count === piecesMax
  }

  clear(): void {
    this.#count = 0
    this.bytes = 0
  }

  add(address: number, bytes: number): void {
    const at = messageBytes / 4 + this.#count * pieceInts
    this.#put(at, address)
    this.#put(at + 2, bytes)
    this.#count += 1
    this.bytes += bytes
  }

  /** @returns how many bytes were sent, or -1 */
  send(fd: number, flags: number): number {
    this.#put(6, this.#count)
    return sendmsg(fd, this.#address, flags)
  }

  /** 64 bits, of which the lower half comes first on x86-64 and arm64. */
  #put(int: number, value: number): void {
    this.#ints[int] = value
    this.#ints[int + 1] = Math.floor(value / 2 ** 32)
  }
}

/** A pipe's two ends, or undefined where the system has none left. */
export function createPipe(): { readonly readFd: number; readonly writeFd: number } | undefined {
  if (pipe2(scratch.address, O_NONBLOCK | O_CLOEXEC) === -1) return undefined
  return { readFd: scratchInts[0] ?? -1, writeFd: scratchInts[1] ?? -1 }
}

/**
 * struct epoll_event, `events` and 64 bits of our own, of which we use 32: packed to 12 bytes on x86-64, 16 elsewhere
 * (`__EPOLL_PACKED` in glibc's bits/epoll.h).
 */
const epollEventInts = process.arch === 'x64' ? 3 : 4
const epollTokenInt = process.arch === 'x64' ? 1 : 2

/** Several events to register with. */
export class EpollEvents {
  readonly #ints: Int32Array
  readonly #address: number

  /** @throws {SystemError} */
  constructor(count: number) {
    const memory = allocate(count * epollEventInts * 4)
    this.#ints = new Int32Array(memory.bytes.buffer, 0, count * epollEventInts)
    this.#address = memory.address
  }

  /** @returns its address */
  set(index: number, events: number, token: number): number {
    this.#ints[index * epollEventInts] = events
    this.#ints[index * epollEventInts + epollTokenInt] = token
    return this.#address + index * epollEventInts * 4
  }
}

/** One epoll instance and the events that its last wait brought. */
export class Epoll {
  readonly fd: number
  readonly #eventsMax: number
  readonly #ints: Int32Array
  readonly #address: number

  /** @throws {SystemError} */
  constructor(eventsMax: number) {
    const memory = allocate(eventsMax * epollEventInts * 4)
    this.fd = check(epoll_create1(EPOLL_CLOEXEC), 'epoll_create1')
    this.#eventsMax = eventsMax
    this.#ints = new Int32Array(memory.bytes.buffer, 0, eventsMax * epollEventInts)
    this.#address = memory.address
  }

  /** @returns 0 or -1 */
  add(fd: number, events: number, token: number): number {
    scratchInts[0] = events
    scratchInts[epollTokenInt] = token
    return epoll_ctl(this.fd, EPOLL_CTL_ADD, fd, scratch.address)
  }

  /** Of one that was added; what is there already is told of again. @returns 0 or -1 */
  modify(fd: number, events: number, token: number): number {
    scratchInts[0] = events
    scratchInts[epollTokenInt] = token
    return epoll_ctl(this.fd, EPOLL_CTL_MOD, fd, scratch.address)
  }

  remove(fd: number): void {
    epoll_ctl(this.fd, EPOLL_CTL_DEL, fd, scratch.address)
  }

  /** @returns how many events there are; an interrupted wait has none */
  wait(timeoutMs: number): number {
    const count = epoll_wait(this.fd, this.#address, this.#eventsMax, timeoutMs)
    if (count !== -1) return count
    if (errno() === EINTR) return 0
    throw new SystemError('epoll_wait', errno())
  }

  eventsAt(index: number): number {
    return this.#ints[index * epollEventInts] ?? 0
  }

  tokenAt(index: number): number {
    return this.#ints[index * epollEventInts + epollTokenInt] ?? 0
  }
}
