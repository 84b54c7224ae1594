// Before a thread's lane takes anybody's bytes it takes its own: over loopback, random ones in random pieces, both ways and
// in both address families, within the budget and beyond it. A kernel that does otherwise than program.ts expects gets no
// connection to spoil.
//
//   client ◀──▶ downstream │ the lane │ upstream ◀──▶ server          all four in this thread

import { randomBytes, randomInt } from 'node:crypto'
import * as libc from '../libc.ts'
import { closeAll, openListeningSockets } from '../listening-sockets.ts'
import { SocketAddressCell } from '../socket-address.ts'
import { LaneUnavailableError } from './bpf.ts'
import type { LaneMaps } from './lane-maps.ts'

const budgetBytes = 64 * 1024
/** One and a half budgets each way. */
const streamBytes = 96 * 1024
const pieceBytesMax = 6_000
const timeoutMs = 2_000
const pauseMs = 1
const bufferBytes = 128 * 1024
const nonBlocking = libc.SOCK_NONBLOCK | libc.SOCK_CLOEXEC

/** @throws {LaneUnavailableError} a byte was lost, doubled or changed */
export function selfTest(maps: LaneMaps): void {
  const memory = libc.allocate(bufferBytes)
  try {
    for (const address of ['127.0.0.1', '::1']) {
      const pairs = connectPairs(address, memory)
      // A machine without IPv6.
      if (pairs === undefined) continue
      try {
        testOn(maps, memory, pairs)
      } finally {
        for (const fd of [pairs.client, pairs.downstream, pairs.upstream, pairs.server]) {
          libc.setResetOnClose(fd)
          libc.close(fd)
        }
      }
    }
  } finally {
    libc.free(memory)
  }
}

interface Pairs {
  readonly client: number
  readonly downstream: number
  readonly upstream: number
  readonly server: number
}

function testOn(maps: LaneMaps, memory: libc.NativeMemory, { client, downstream, upstream, server }: Pairs): void {
  const inLane = [downstream, upstream]
  for (const [mark, fd] of inLane.entries()) {
    const next = libc.streamPositions(fd)?.next
    if (next === undefined) throw failed('the number of a stream’s next byte is not told')
    maps.clear(mark, next)
    maps.grant(mark, budgetBytes, 0)
    if (!maps.name(mark, fd) || !maps.addPeer(mark, fd)) throw failed('a socket is not taken into a map')
  }
  for (const [mark, fd] of inLane.entries()) {
    if (!maps.addVerdict(mark, fd)) throw failed('a socket is not taken into a map')
    libc.setIntOption(fd, libc.SOL_SOCKET, libc.SO_RCVLOWAT, 1)
  }
  for (const { from, mark, to } of [{ from: client, mark: 0, to: server }, { from: server, mark: 1, to: client }]) {
    const sent = randomBytes(streamBytes)
    const through = sendThrough(maps, memory, { from, mark, to, bytes: sent })
    const passed = readAll(memory, inLane[mark] ?? -1, streamBytes - through.length)
    if (maps.redirected(mark) !== through.length || maps.passed(mark) !== passed.length) throw failed('its counts are not those of the bytes')
    if (!Buffer.concat([through, passed]).equals(sent)) throw failed('bytes were changed')
    if (maps.fault(mark) !== 0) throw failed('its packets have other numbers than TCP gave them')
  }
  for (const [mark, fd] of inLane.entries()) {
    maps.removeVerdict(mark)
    maps.removePeer(mark)
    maps.unname(fd)
  }
  maps.readNotices(() => undefined)
}

/** @returns what has come at the other end, redirected: a budget at the most */
function sendThrough(maps: LaneMaps, memory: libc.NativeMemory, { from, mark, to, bytes }: { readonly from: number; readonly mark: number; readonly to: number; readonly bytes: Buffer }): Buffer {
  for (let at = 0; at < bytes.length;) {
    const piece = bytes.subarray(at, at + randomInt(1, pieceBytesMax))
    memory.bytes.set(piece)
    const sent = libc.send(from, memory.address, piece.length, libc.MSG_NOSIGNAL)
    if (sent === -1 && libc.errno() !== libc.EAGAIN) throw failed('a loopback connection broke')
    if (sent === -1) pause()
    else at += sent
  }
  waitFor(() => ((maps.redirected(mark) + maps.passed(mark)) >>> 0) === bytes.length, 'bytes are missing from its counts')
  return readAll(memory, to, maps.redirected(mark))
}

function readAll(memory: libc.NativeMemory, fd: number, byteLength: number): Buffer {
  let have = 0
  waitFor(() => {
    const received = have === byteLength ? 0 : libc.recv(fd, memory.address + have, bufferBytes - have, 0)
    if (received > 0) have += received
    return have >= byteLength
  }, 'bytes are missing at the other end')
  return Buffer.from(memory.bytes.subarray(0, have))
}

function waitFor(condition: () => boolean, otherwise: string): void {
  const endMs = performance.now() + timeoutMs
  while (!condition()) {
    if (performance.now() > endMs) throw failed(otherwise)
    pause()
  }
}

const pauseCell = new Int32Array(new SharedArrayBuffer(4))

function pause(): void {
  Atomics.wait(pauseCell, 0, 0, pauseMs)
}

function failed(what: string): LaneUnavailableError {
  return new LaneUnavailableError(`the kernel lane's self-test failed: ${what}`)
}

/** @returns undefined where the machine does not have such an address */
function connectPairs(address: string, memory: libc.NativeMemory): Pairs | undefined {
  let listening: ReturnType<typeof openListeningSockets>
  try {
    listening = openListeningSockets({ address, port: 0 }, { ipv6Only: false }, 1)
  } catch (error) {
    if (address === '127.0.0.1' || !(error instanceof libc.SystemError)) throw error
    return undefined
  }
  try {
    const [client, downstream] = connectPair(listening, memory)
    const [upstream, server] = connectPair(listening, memory)
    return { client, downstream, upstream, server }
  } finally {
    closeAll(listening.fds)
  }
}

/** @returns the end that dialled, and the one that was accepted */
function connectPair({ fds, bound }: ReturnType<typeof openListeningSockets>, memory: libc.NativeMemory): readonly [number, number] {
  const target = new SocketAddressCell()
  const length = target.encode(bound) ?? 0
  const family = length === libc.sockaddrInBytes ? libc.AF_INET : libc.AF_INET6
  const fd = libc.check(libc.socket(family, libc.SOCK_STREAM | nonBlocking, 0), 'socket')
  if (libc.connect(fd, target.address, length) === -1 && libc.errno() !== libc.EINPROGRESS) throw new libc.SystemError('connect', libc.errno())
  // The listener gives a connection away once there are bytes (TCP_DEFER_ACCEPT).
  waitFor(() => libc.send(fd, memory.address, 1, libc.MSG_NOSIGNAL) === 1, 'a loopback connection is not made')
  const peer = new SocketAddressCell()
  let accepted = -1
  waitFor(() => {
    peer.expect()
    accepted = libc.accept4(fds[0] ?? -1, peer.address, peer.lengthAddress, nonBlocking)
    return accepted !== -1
  }, 'a loopback connection is not accepted')
  waitFor(() => libc.recv(accepted, memory.address, 1, 0) === 1, 'a loopback connection brings nothing')
  return [fd, accepted]
}
