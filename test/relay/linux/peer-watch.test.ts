// What it does to sockets, and when; that hosts which vanish are noticed is a rule of test/compliance/.

import { setTimeout as delay } from 'node:timers/promises'
import type { Test } from 'tap'
import { clientSilenceMs, questionsMax } from '../../../src/core/peer-silence.ts'
import { ConnectionTable } from '../../../src/relay/linux/connection-table.ts'
import { createDescriptors, descriptorsIn } from '../../../src/relay/linux/descriptors.ts'
import * as libc from '../../../src/relay/linux/libc.ts'
import { lookAtPeer, PeerWatch } from '../../../src/relay/linux/peer-watch.ts'
import { SocketAddressCell } from '../../../src/relay/linux/socket-address.ts'
import { test } from '../../support/linux-only.ts'

/** Of both ends that are at rest: the nearer ones, `fds`, stand in a table, and the others, `peers`, answer as the system does. */
function idleSlots(t: Test, slots: number): { watch: PeerWatch; clock: { nowMs: number }; fds: readonly number[]; peers: readonly number[]; close: (fd: number) => void } {
  const table = new ConnectionTable(descriptorsIn(createDescriptors(slots), slots).connections)
  const opened = new Set<number>()
  const close = (fd: number): void => {
    opened.delete(fd)
    libc.close(fd)
  }
  t.teardown(() => opened.forEach(close))
  const open = (fd: number, call: string): number => {
    opened.add(libc.check(fd, call))
    return fd
  }
  const cell = new SocketAddressCell()
  const length = cell.encode({ address: '127.0.0.1', port: 0 }) ?? 0
  const listener = open(libc.socket(libc.AF_INET, libc.SOCK_STREAM | libc.SOCK_CLOEXEC, 0), 'socket')
  libc.check(libc.bind(listener, cell.address, length), 'bind')
  libc.check(libc.listen(listener, 8), 'listen')
  cell.expect()
  libc.check(libc.getsockname(listener, cell.address, cell.lengthAddress), 'getsockname')
  const [fds, peers]: [number[], number[]] = [[], []]
  const clock = { nowMs: performance.now() }
  const watch = new PeerWatch(table, clock)
  for (let count = 0; count < slots; count++) {
    const slot = table.take()
    for (const token of [2 * slot, 2 * slot + 1]) {
      const fd = open(libc.socket(libc.AF_INET, libc.SOCK_STREAM | libc.SOCK_CLOEXEC, 0), 'socket')
      libc.check(libc.connect(fd, cell.address, length), 'connect')
      peers.push(open(libc.accept4(listener, 0, 0, libc.SOCK_CLOEXEC), 'accept4'))
      table.setFd(token, fd)
      fds.push(fd)
    }
    watch.begin(slot)
  }
  return { watch, clock, fds, peers, close }
}

void test('a connection that ends soon costs no look; later there is one every five seconds, and one more where an answer is due', async (t) => {
  const { watch, clock, fds: [fd = -1] } = idleSlots(t, 1)
  const keepalive = (): number => libc.getIntOption(fd, libc.SOL_SOCKET, libc.SO_KEEPALIVE)
  const first = watch.nextLookMs(0)
  t.ok(first >= clock.nowMs + 1_000)
  t.equal(watch.look(0), -1)
  t.equal(keepalive(), 0)
  clock.nowMs = first
  t.equal(watch.look(0), -1)
  t.equal(keepalive(), 1)
  t.equal(Math.round(watch.nextLookMs(0) - first), 5_120, 'it has just been heard of')
})

void test('thousands that fall silent at one moment are asked one after the other: each answers, and nobody is lost', async (t) => {
  const slots = 1_000
  const { watch, clock, fds } = idleSlots(t, slots)
  let [gone, again, looks] = [0, 0, 0]
  const expecting = new Set<number>()
  const untilMs = performance.now() + 14_000
  while (performance.now() < untilMs) {
    clock.nowMs = performance.now()
    for (let slot = 0; slot < slots; slot++) {
      if (clock.nowMs < watch.nextLookMs(slot)) continue
      looks += 1
      const wasAsked = expecting.has(slot)
      if (watch.look(slot) !== -1) gone += 1
      const isAsked = Math.round(watch.nextLookMs(slot) - clock.nowMs) === 1_000
      if (isAsked && wasAsked) again += 1
      if (isAsked) expecting.add(slot)
      else expecting.delete(slot)
    }
    await delay(20)
  }
  t.equal(gone, 0)
  t.ok(looks >= 2 * slots)
  // Other tests on the same machine may fill its queue too.
  t.ok(again < slots / 20, `${again} were asked again`)
  const silent = fds.map((fd) => libc.readPeerSigns(fd) ? libc.peerSigns.silentMs : Infinity)
  t.ok(Math.max(...silent) < 9_000, 'of each was heard')
})

void test('who has closed is not asked, and is not gone while what it sent before is there to be read', async (t) => {
  const { fds: [live = -1, closed = -1], peers: [, closing = -1], close } = idleSlots(t, 1)
  for (const fd of [live, closed]) libc.letAskPeer(fd)
  const memory = libc.allocate(4096)
  t.equal(libc.send(closing, memory.address, 100, 0), 100)
  libc.setResetOnClose(closing)
  close(closing)
  await delay(1_500)
  t.equal(lookAtPeer(live, questionsMax, 0, false, 0), -1, 'it left all questions unanswered, the last one for longer than it has been silent')
  t.equal(lookAtPeer(closed, questionsMax, 0, false, 0), 0)
  t.equal(libc.recv(closed, memory.address, 4096, libc.MSG_DONTWAIT), 100)
})

void test('a client that leaves questions unanswered is sent what it owes more often, until it answers', async (t) => {
  const { fds: [fd = -1] } = idleSlots(t, 1)
  const sendAgainMs = (): number => libc.sendAgainMs(fd)
  const usual = sendAgainMs()
  if (usual <= 10_000) {
    t.comment('this system has no such option, or less is usual')
    return
  }
  await delay(2_500)
  const look = (asked: number, sinceLookMs: number): number => lookAtPeer(fd, asked, sinceLookMs, true, clientSilenceMs)
  t.equal(look(0, 5_000), 1)
  t.equal(sendAgainMs(), usual)
  t.equal(look(1, 0), 2)
  t.ok(sendAgainMs() < usual)
  t.equal(look(2, 60_000), 1, 'it has answered')
  t.equal(sendAgainMs(), usual)
  t.equal(look(1, 0), 2)
  t.equal(lookAtPeer(fd, questionsMax, 0, false, clientSilenceMs), questionsMax + 1, 'and is not gone yet')
  t.ok(sendAgainMs() < usual)
})
