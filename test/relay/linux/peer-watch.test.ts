// What it does to sockets, and when; that hosts which vanish are noticed is a rule of test/compliance/.

import { setTimeout as delay } from 'node:timers/promises'
import type { Test } from 'tap'
import { ConnectionTable } from '../../../src/relay/linux/connection-table.ts'
import { createDescriptors, descriptorsIn } from '../../../src/relay/linux/descriptors.ts'
import * as libc from '../../../src/relay/linux/libc.ts'
import { PeerWatch } from '../../../src/relay/linux/peer-watch.ts'
import { SocketAddressCell } from '../../../src/relay/linux/socket-address.ts'
import { test } from '../../support/linux-only.ts'

/** Of both ends that are at rest: the nearer ones stand in a table, and the others answer as the system does. */
function idleSlots(t: Test, slots: number): { watch: PeerWatch; clock: { nowMs: number }; fds: readonly number[] } {
  const table = new ConnectionTable(descriptorsIn(createDescriptors(slots), slots).connections)
  const opened: number[] = []
  t.teardown(() => opened.forEach((fd) => libc.close(fd)))
  const open = (fd: number, call: string): number => {
    opened.push(libc.check(fd, call))
    return fd
  }
  const cell = new SocketAddressCell()
  const length = cell.encode({ address: '127.0.0.1', port: 0 }) ?? 0
  const listener = open(libc.socket(libc.AF_INET, libc.SOCK_STREAM | libc.SOCK_CLOEXEC, 0), 'socket')
  libc.check(libc.bind(listener, cell.address, length), 'bind')
  libc.check(libc.listen(listener, 8), 'listen')
  cell.expect()
  libc.check(libc.getsockname(listener, cell.address, cell.lengthAddress), 'getsockname')
  const fds: number[] = []
  const clock = { nowMs: performance.now() }
  const watch = new PeerWatch(table, clock)
  for (let count = 0; count < slots; count++) {
    const slot = table.take()
    for (const token of [2 * slot, 2 * slot + 1]) {
      const fd = open(libc.socket(libc.AF_INET, libc.SOCK_STREAM | libc.SOCK_CLOEXEC, 0), 'socket')
      libc.check(libc.connect(fd, cell.address, length), 'connect')
      open(libc.accept4(listener, 0, 0, libc.SOCK_CLOEXEC), 'accept4')
      table.setFd(token, fd)
      fds.push(fd)
    }
    watch.begin(slot)
  }
  return { watch, clock, fds }
}

void test('a connection that ends soon costs no look; later there is one every four seconds', async (t) => {
  const { watch, clock, fds: [fd = -1] } = idleSlots(t, 1)
  const keepalive = (): number => libc.getIntOption(fd, libc.SOL_SOCKET, libc.SO_KEEPALIVE)
  const first = watch.nextLookMs(0)
  t.ok(first >= clock.nowMs + 1_000)
  t.equal(watch.look(0), -1)
  t.equal(keepalive(), 0)
  clock.nowMs = first
  t.equal(watch.look(0), -1)
  t.equal(keepalive(), 1)
  t.equal(watch.nextLookMs(0), first + 4_000)
})

void test('thousands that fall silent at one moment are asked one after the other: each answers, and nobody is lost', async (t) => {
  const slots = 2_000
  const { watch, clock, fds } = idleSlots(t, slots)
  let [gone, again, looks] = [0, 0, 0]
  const untilMs = performance.now() + 13_000
  while (performance.now() < untilMs) {
    clock.nowMs = performance.now()
    for (let slot = 0; slot < slots; slot++) {
      if (clock.nowMs < watch.nextLookMs(slot)) continue
      looks += 1
      if (watch.look(slot) !== -1) gone += 1
      if (watch.nextLookMs(slot) < clock.nowMs + 4_000) again += 1
    }
    await delay(20)
  }
  t.equal(gone, 0)
  t.ok(looks >= 2 * slots)
  // Other tests on the same machine may fill its queue too.
  t.ok(again < slots / 20, `${again} were asked again`)
  const silent = fds.map((fd) => libc.readPeerSigns(fd) ? libc.peerSigns.silentMs : Infinity)
  t.ok(Math.max(...silent) < 6_500, 'of each was heard at its last look but one, at least')
})
