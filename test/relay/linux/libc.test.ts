import { test } from '../../support/linux-only.ts'
import { readFileSync } from 'node:fs'
import { constants } from 'node:os'
import * as libc from '../../../src/relay/linux/libc.ts'

void test('a call that fails answers -1, and its errno has the system’s name', async (t) => {
  t.equal(libc.close(-1), -1)
  t.equal(libc.errnoName(libc.errno()), 'EBADF')
  t.throws(() => libc.check(libc.close(-1), 'close'), { name: 'Error', code: 'EBADF', errno: constants.errno.EBADF, message: 'close: EBADF (bad file descriptor)' })
  t.equal(libc.check(0, 'nothing'), 0)
  for (const name of ['ECONNREFUSED', 'ETIMEDOUT', 'EADDRINUSE', 'EMFILE', 'EAGAIN'] as const) {
    t.match(new libc.SystemError('accept4', constants.errno[name]), { code: name, message: `accept4: ${name} (` })
  }
})

void test('a peer that was silent for too long is unresponsive; one that answered with RST is not', async (t) => {
  for (const [name, unresponsive] of [['ETIMEDOUT', true], ['EHOSTUNREACH', true], ['ENETUNREACH', true], ['ECONNRESET', false], ['EPIPE', false], ['ECONNREFUSED', false]] as const) {
    t.equal(libc.isUnresponsive(constants.errno[name]), unresponsive, name)
  }
})

void test('native memory is zeroed, stays where it is, and is the process’s until it is given back', async (t) => {
  const memory = libc.allocate(3 * 4096)
  t.equal(memory.bytes.byteLength, 3 * 4096)
  t.ok(memory.bytes.every((byte) => byte === 0))
  const mapped = (): boolean => readFileSync('/proc/self/maps', 'utf8').split('\n').some((line) => {
    const [from = 0, to = 0] = (line.split(' ')[0] ?? '').split('-').map((hex) => Number.parseInt(hex, 16))
    return from <= memory.address && memory.address < to
  })
  t.ok(mapped())
  libc.free(memory)
  t.notOk(mapped())
  t.throws(() => libc.allocate(2 ** 47), { code: 'ENOMEM' })
})

void test('an epoll instance tells which descriptor is ready by its token, and how', async (t) => {
  const epoll = new libc.Epoll(8)
  const tokens = [0, 1, 7, 2 ** 30, -1]
  const fds = tokens.map(() => libc.check(libc.eventfd(0, libc.EFD_NONBLOCK | libc.EFD_CLOEXEC), 'eventfd'))
  t.teardown(() => [epoll.fd, ...fds].forEach((fd) => libc.close(fd)))
  for (const [index, token] of tokens.entries()) t.equal(epoll.add(fds[index] ?? -1, libc.EPOLLIN, token), 0)
  t.equal(epoll.wait(0), 0)
  const one = libc.allocate(8)
  one.bytes[0] = 1
  for (const fd of fds) t.equal(libc.write(fd, one.address, 8), 8)
  const count = epoll.wait(-1)
  const events = Array.from({ length: count }, (_, index) => [epoll.tokenAt(index), epoll.eventsAt(index)])
  t.same(new Map(events as [number, number][]), new Map(tokens.map((token) => [token, libc.EPOLLIN])))
  t.equal(epoll.add(fds[0] ?? -1, libc.EPOLLIN, 3), -1)
  t.equal(libc.errnoName(libc.errno()), 'EEXIST')
  for (const fd of fds.slice(1)) epoll.remove(fd)
  t.equal(epoll.wait(0), 1)
  t.equal(epoll.tokenAt(0), 0)
})

void test('more events than fit come with the next wait', async (t) => {
  const epoll = new libc.Epoll(2)
  const fds = Array.from({ length: 5 }, () => libc.check(libc.eventfd(1, libc.EFD_NONBLOCK | libc.EFD_CLOEXEC), 'eventfd'))
  t.teardown(() => [epoll.fd, ...fds].forEach((fd) => libc.close(fd)))
  for (const [token, fd] of fds.entries()) epoll.add(fd, libc.EPOLLIN | libc.EPOLLET, token)
  const seen: number[] = []
  for (let count = epoll.wait(0); count > 0; count = epoll.wait(0)) {
    t.ok(count <= 2)
    for (let index = 0; index < count; index++) seen.push(epoll.tokenAt(index))
  }
  t.same(new Set(seen), new Set([0, 1, 2, 3, 4]))
  t.equal(seen.length, 5)
})

void test('a socket’s options are read as they were set', async (t) => {
  const fd = libc.check(libc.socket(libc.AF_INET, libc.SOCK_STREAM | libc.SOCK_NONBLOCK | libc.SOCK_CLOEXEC, 0), 'socket')
  t.teardown(() => libc.close(fd))
  t.equal(libc.getIntOption(fd, libc.IPPROTO_TCP, libc.TCP_NODELAY), 0)
  t.equal(libc.setIntOption(fd, libc.IPPROTO_TCP, libc.TCP_NODELAY, 1), 0)
  t.equal(libc.getIntOption(fd, libc.IPPROTO_TCP, libc.TCP_NODELAY), 1)
  t.equal(libc.getIntOption(fd, libc.SOL_SOCKET, libc.SO_ERROR), 0)
  t.throws(() => libc.getIntOption(-1, libc.SOL_SOCKET, libc.SO_ERROR), { code: 'EBADF' })
  t.equal(libc.readPeerSigns(fd), false, 'an unconnected socket has no peer')
  t.equal(libc.readPeerSigns(-1), false)
  t.equal(libc.unacknowledgedBytes(-1), 0)
})
