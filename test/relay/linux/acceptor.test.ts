// Listeners and their queues, turn by turn, with a clock of the test's own: a slice ends after so many steps.

import { test } from '../../support/linux-only.ts'
import type { Test } from 'tap'
import { createRelayCells, relayCell } from '../../../src/core/relay-cells.ts'
import { newcomersTogetherMax, runSetupSlice, stepsPerSliceMax } from '../../../src/core/limit/setup-slice.ts'
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
  readonly held: Int32Array
  /** Since the last turn began. */
  readonly taken: readonly string[]
  /** The system tells of those that have come. */
  readonly told: () => void
  room: number
  /** How often those that were handed on have been seen to. */
  performed: number
  holdsBack: (queued: number, taken: number) => boolean
}

function startPlace(t: Test, ...names: readonly string[]): Place {
  const epoll = new libc.Epoll(64)
  const clock = { nowMs: 1_000 }
  const cells = createRelayCells()
  const ports = new Map<string, number>()
  const clients: number[] = []
  const taken: string[] = []
  const told = (): void => {
    const count = epoll.wait(0)
    for (const token of Array.from({ length: count }, (_, index) => epoll.tokenAt(index))) acceptor.ready(token)
  }
  const place = { room: Infinity, performed: 0, holdsBack: (_queued: number, _taken: number) => false }
  const held = new Int32Array(newcomersTogetherMax)
  const acceptor = new Acceptor({
    epoll, clock, cells, held, firstToken: 100,
    room: () => place.room,
    accepted: (fd, { name }) => {
      libc.close(fd)
      taken.push(name)
      place.room -= 1
    },
    perform: () => void (place.performed += 1),
    holdsBack: (fd, count) => place.holdsBack(libc.queuedConnections(fd), count),
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
    acceptor, cells, held, taken, told,
    turn: (afterMs = 0) => {
      clock.nowMs += afterMs
      taken.length = 0
      told()
      runSetupSlice({ nowMs: () => clock.nowMs, goOn: () => false, accept: () => acceptor.acceptNext(), perform: () => acceptor.settle() })
      acceptor.finishTurn()
      return [...taken]
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
  for (const count of [1, 8, stepsPerSliceMax - 1]) {
    connect('a', count)
    t.equal(turn().length, count)
    t.equal(turn().length, 0)
    t.equal(acceptor.waitMs(), Infinity)
  }
  t.equal(cells[relayCell.pacedAccepts], 0)
})

void test('in a storm each turn has a slice of it, one behind the other without a pause, until the queue is empty', async (t) => {
  const { acceptor, cells, connect, turn } = startPlace(t, 'a')
  connect('a', 2 * stepsPerSliceMax + 6)
  for (const expected of [stepsPerSliceMax, stepsPerSliceMax]) {
    t.equal(turn().length, expected)
    t.equal(acceptor.waitMs(), 0, 'the next turn comes at once')
  }
  t.equal(turn().length, 6)
  t.equal(acceptor.waitMs(), Infinity)
  t.equal(cells[relayCell.pacedAccepts], stepsPerSliceMax + 6, 'those behind the first slice have waited')
  connect('a', 3)
  t.equal(turn().length, 3)
  t.equal(cells[relayCell.pacedAccepts], stepsPerSliceMax + 6)
})

void test('those that are better left in the queue are left there, without being asked for all the time', async (t) => {
  const place = startPlace(t, 'a')
  place.connect('a', stepsPerSliceMax)
  const lengths: number[] = []
  place.holdsBack = (queued) => {
    lengths.push(queued)
    return true
  }
  t.equal(place.turn().length, 0)
  t.same(lengths, [stepsPerSliceMax])
  t.equal(place.acceptor.waitMs(), 1)
  t.equal(place.turn(0.5).length, 0)
  t.same(lengths, [stepsPerSliceMax])
  place.turn(0.5)
  t.equal(place.turn().length, 0)
  t.same(lengths, [stepsPerSliceMax, stepsPerSliceMax])
  place.holdsBack = () => false
  place.turn(1)
  t.equal(place.turn().length, stepsPerSliceMax)
  t.equal(place.cells[relayCell.pacedAccepts], stepsPerSliceMax)
})

void test('one listener that is held back holds no other', async (t) => {
  const place = startPlace(t, 'a', 'b')
  place.connect('a', 12)
  place.holdsBack = (queued) => queued > 10
  t.same(place.turn(), [])
  place.connect('b', 2)
  t.same(place.turn(), ['b', 'b'])
})

void test('a listener in a storm delays none that is not, and two in a storm take turns', async (t) => {
  const { connect, turn } = startPlace(t, 'a', 'b', 'c')
  connect('a', 120)
  turn()
  connect('b', 2)
  t.equal(of(turn(), 'b'), 2)
  connect('c', 60)
  const [slice, next] = [turn(), turn()]
  for (const taken of [slice, next]) t.ok(Math.abs(of(taken, 'a') - of(taken, 'c')) <= 1, taken.join(' '))
})

void test('a listener that leaves in a storm leaves no connection in its queue, and another one has every turn', async (t) => {
  const { acceptor, connect, turn } = startPlace(t, 'a', 'b')
  connect('a', 100)
  turn()
  acceptor.remove('a')
  t.equal(acceptor.waitMs(), Infinity)
  connect('b', 2)
  t.same(turn(), ['b', 'b'])
})

void test('a storm without room pauses all listeners, and goes on by itself', async (t) => {
  const place = startPlace(t, 'a', 'b')
  const { acceptor, cells, connect, turn } = place
  connect('a', stepsPerSliceMax + 10)
  turn()
  place.room = 2
  t.equal(turn().length, 2)
  t.equal(cells[relayCell.acceptPauses], 1)
  connect('b', 1)
  t.equal(turn().length, 0)
  t.equal(acceptor.waitMs(), 100)
  place.room = Infinity
  // Told of in the turn after the one that watches them again.
  turn(acceptor.waitMs())
  const rest = turn()
  t.equal(of(rest, 'b'), 1)
  t.equal(of(rest, 'a'), 8)
})

void test('without room while a listener is held back, each is watched again, once', async (t) => {
  const place = startPlace(t, 'a', 'b')
  place.connect('a', 11)
  place.holdsBack = (queued) => queued > 10
  place.turn()
  place.room = 0
  place.connect('b', 1)
  t.same(place.turn(), [])
  place.room = Infinity
  place.holdsBack = () => false
  place.turn(place.acceptor.waitMs())
  const taken = place.turn()
  t.equal(of(taken, 'a'), 11)
  t.equal(of(taken, 'b'), 1)
})

void test('those that are taken are held, for whoever closes them should this thread die, until they are handed on together', async (t) => {
  const place = startPlace(t, 'a')
  const { acceptor, held, connect, told } = place
  connect('a', newcomersTogetherMax + 1)
  told()
  for (let each = 1; each <= newcomersTogetherMax; each++) {
    t.ok(acceptor.acceptNext())
    t.equal(held.filter((fd) => fd > 0).length, each)
    t.equal(place.taken.length, 0)
  }
  t.ok(acceptor.acceptNext(), 'there is room for as many: they are handed on, and the next one is held')
  t.equal(place.taken.length, newcomersTogetherMax)
  acceptor.settle()
  t.equal(place.taken.length, newcomersTogetherMax + 1)
  t.ok(held.every((fd) => fd === 0))
})

void test('whether one is left in the queue is asked with those that were taken before it and count nowhere yet', async (t) => {
  const place = startPlace(t, 'a')
  place.holdsBack = (_queued, taken) => taken >= 2
  place.connect('a', 4)
  t.equal(place.turn().length, 2)
})

void test('of a listener that leaves no more are taken at a time than are seen to together', async (t) => {
  const place = startPlace(t, 'a')
  place.connect('a', 3 * newcomersTogetherMax)
  place.acceptor.remove('a')
  t.equal(place.taken.length, 3 * newcomersTogetherMax)
  t.ok(place.performed >= 3)
})
