// What it does to sockets, and when; that hosts which vanish are noticed is a rule of test/compliance/.

import { test } from '../../support/linux-only.ts'
import type { Test } from 'tap'
import { ConnectionTable } from '../../../src/relay/linux/connection-table.ts'
import { createDescriptors, descriptorsIn } from '../../../src/relay/linux/descriptors.ts'
import * as libc from '../../../src/relay/linux/libc.ts'
import { PeerWatch } from '../../../src/relay/linux/peer-watch.ts'

function idleSlot(t: Test): { watch: PeerWatch; clock: { nowMs: number }; fd: number } {
  const table = new ConnectionTable(descriptorsIn(createDescriptors(1), 1).connections)
  const slot = table.take()
  const fds = [0, 1].map(() => libc.check(libc.socket(libc.AF_INET, libc.SOCK_STREAM | libc.SOCK_CLOEXEC, 0), 'socket'))
  t.teardown(() => fds.forEach((fd) => libc.close(fd)))
  for (const [token, fd] of fds.entries()) table.setFd(token, fd)
  const clock = { nowMs: 10_000 }
  table.activityMs[slot] = clock.nowMs
  const watch = new PeerWatch(table, clock)
  watch.begin(slot)
  return { watch, clock, fd: fds[0] ?? -1 }
}

void test('a connection that ends soon costs no look; later its sockets probe, and the looks are seconds apart', async (t) => {
  const { watch, clock, fd } = idleSlot(t)
  const keepalive = (): number => libc.getIntOption(fd, libc.SOL_SOCKET, libc.SO_KEEPALIVE)
  const first = watch.nextLookMs(0)
  t.ok(first > clock.nowMs)
  t.equal(watch.look(0), -1)
  t.equal(keepalive(), 0)
  clock.nowMs = first
  t.equal(watch.look(0), -1)
  t.equal(keepalive(), 1)
  t.equal(libc.getIntOption(fd, libc.IPPROTO_TCP, libc.TCP_KEEPINTVL), 1)
  t.ok(libc.getIntOption(fd, libc.IPPROTO_TCP, libc.TCP_KEEPIDLE) + libc.getIntOption(fd, libc.IPPROTO_TCP, libc.TCP_KEEPCNT) <= 13, 'with the second before, and what the system’s timers take, within 15 s')
  t.ok(watch.nextLookMs(0) >= first + 1_000)
})
