// Listeners and their queues, turn by turn, with a clock of the test's own.

import { test } from '../../support/linux-only.ts'
import type { Test } from 'tap'
import { createRelayCells, relayCell } from '../../../src/core/relay-cells.ts'
import { Acceptor } from '../../../src/relay/linux/acceptor.ts'
import * as libc from '../../../src/relay/linux/libc.ts'
import { closeAll, openListeningSockets } from '../../../src/relay/linux/listening-sockets.ts'
import { SocketAddressCell } from '../../../src/relay/linux/socket-address.ts'

interface Place {
  readonly acceptor: Acceptor
  /** Names of the listeners that connections were taken from, in order; emptied by `turn`. */
  readonly turn: (afterMs?: number) => string[]
  /** Comes, and says something. */
  readonly connect: (name: string, count: number) => void
  readonly cells: ReturnType<typeof createRelayCells>
  room: number
  /** Whoever comes. */
  refuses: boolean
  holdsBack: (queued: number) => boolean
}

function startPlace(t: Test, ...names: readonly string[]): Place {
  const epoll = new libc.Epoll(64)
  const clock = { nowMs: 1_000 }
  const cells = createRelayCells()
  const ports = new Map<string, number>()
  const clients: number[] = []
  let taken: string[] = []
  let nowMs = clock.nowMs
  const place = { room: Infinity, refuses: false, holdsBack: (_queued: number) => false }
  const acceptor = new Acceptor({
    epoll, clock, cells, nowMs: () => nowMs, firstToken: 100,
    hasRoom: () => place.room > 0,
    accepted: (fd, listener) => {
      libc.close(fd)
      taken.push(listener)
      place.room -= 1
      return !place.refuses
    },
    holdsBack: (fd) => place.holdsBack(libc.queuedConnections(fd)),
    failed: () => undefined,
  })
  for (const name of names) {
    const { fds, bound } = openListeningSockets({ address: '127.0.0.1', port: 0 }, { ipv6Only: false }, 1)
    t.teardown(() => closeAll(fds))
    ports.set(name, bound.port)
    acceptor.add(name, fds[0] ?? -1)
  }
  t.teardown(() => [epoll.fd, ...clients].forEach((fd) => libc.close(fd)))
  return Object.assign(place, {
    acceptor, cells,
    turn: (afterMs = 0) => {
      nowMs += afterMs
      clock.nowMs = nowMs
      taken = []
      const count = epoll.wait(0)
      for (const token of Array.from({ length: count }, (_, index) => epoll.tokenAt(index))) acceptor.ready(token)
      acceptor.finishTurn()
      return taken
    },
    connect: (name: string, count: number) => {
      const address = new SocketAddressCell()
      for (let each = 0; each < count; each++) {
        const fd = libc.check(libc.socket(libc.AF_INET, libc.SOCK_STREAM | libc.SOCK_CLOEXEC, 0), 'socket')
        clients.push(fd)
        address.encode({ address: '127.0.0.1', port: ports.get(name) ?? 0 })
        libc.check(libc.connect(fd, address.address, libc.sockaddrInBytes), 'connect')
        libc.check(libc.send(fd, address.address, 1, libc.MSG_NOSIGNAL), 'send')
      }
    },
  })
}

const of = (taken: readonly string[], name: string): number => taken.filter((each) => each === name).length

void test('while few come they are taken at once, and nothing waits for a time', async (t) => {
  const { acceptor, cells, connect, turn } = startPlace(t, 'a')
  for (const count of [1, 15, 16]) {
    connect('a', count)
    t.equal(turn().length, count)
    t.equal(turn().length, 0)
    t.equal(acceptor.waitMs(), Infinity)
  }
  t.equal(cells[relayCell.pacedAccepts], 0)
})

void test('in a storm four are taken each millisecond, and when the queue is empty it is calm again', async (t) => {
  const { acceptor, cells, connect, turn } = startPlace(t, 'a')
  connect('a', 62)
  t.equal(turn().length, 16)
  t.equal(turn().length, 16, 'the second full turn')
  t.equal(turn().length, 0, 'a pause')
  for (let left = 62 - 32; left > 0; left -= 4) {
    t.equal(acceptor.waitMs(), 1)
    t.equal(turn(0.125).length, 0, 'something else has happened')
    t.equal(turn(acceptor.waitMs()).length, Math.min(4, left))
  }
  t.equal(acceptor.waitMs(), Infinity)
  t.equal(cells[relayCell.pacedAccepts], 62 - 32)
  connect('a', 3)
  t.equal(turn().length, 3, 'it is watched again')
})

void test('those that are refused at once cost a quarter, so that an attack empties its queue', async (t) => {
  const place = startPlace(t, 'a')
  place.refuses = true
  place.connect('a', 160)
  t.equal(place.turn().length + place.turn().length, 128)
  t.ok(place.turn(1).length > 12)
})

void test('those that are better left in the queue are left there, without being asked for all the time', async (t) => {
  const place = startPlace(t, 'a')
  place.connect('a', 28)
  const lengths: number[] = []
  place.holdsBack = (queued) => {
    lengths.push(queued)
    return true
  }
  t.equal(place.turn().length, 0)
  t.same(lengths, [28])
  t.equal(place.turn(1).length, 0)
  t.same(lengths, [28, 28])
  t.equal(place.acceptor.waitMs(), 1)
  place.holdsBack = () => false
  t.equal(place.turn(1).length, 4)
})

void test('a listener in a storm delays none that is not, and two in a storm take turns', async (t) => {
  const { acceptor, connect, turn } = startPlace(t, 'a', 'b', 'c')
  connect('a', 100)
  turn()
  turn()
  connect('b', 2)
  t.same(turn(), ['b', 'b'], 'in the pause of the other')
  connect('c', 60)
  t.equal(of([...turn(), ...turn()], 'c'), 32)
  const slices = Array.from({ length: 6 }, () => turn(acceptor.waitMs())).flat()
  t.ok(Math.abs(of(slices, 'a') - of(slices, 'c')) <= 1, slices.join(' '))
  t.equal(of(slices, 'b'), 0)
})

void test('a listener that leaves in a storm leaves no connection in its queue, and another one is calm', async (t) => {
  const { acceptor, connect, turn } = startPlace(t, 'a', 'b')
  connect('a', 60)
  turn()
  turn()
  acceptor.remove('a')
  t.equal(acceptor.waitMs(), Infinity)
  connect('b', 2)
  t.same(turn(), ['b', 'b'])
})

void test('a storm without room pauses all listeners, and goes on by itself', async (t) => {
  const place = startPlace(t, 'a', 'b')
  const { acceptor, cells, connect, turn } = place
  connect('a', 60)
  turn()
  turn()
  place.room = 2
  t.equal(turn(acceptor.waitMs()).length, 2)
  t.equal(cells[relayCell.acceptPauses], 1)
  connect('b', 1)
  t.equal(turn().length, 0)
  place.room = Infinity
  // Told of in the turn after the one that watches them again.
  turn(acceptor.waitMs())
  const rest = turn()
  t.equal(of(rest, 'b'), 1)
  for (let turns = 0; rest.length < 60 - 32 - 2 + 1 && turns < 40; turns++) rest.push(...turn(1))
  t.equal(of(rest, 'a'), 60 - 32 - 2)
})
