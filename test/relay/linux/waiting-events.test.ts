import fc from 'fast-check'
import { test } from '../../support/linux-only.ts'
import { ConnectionTable } from '../../../src/relay/linux/connection-table.ts'
import { createDescriptors, descriptorsIn } from '../../../src/relay/linux/descriptors.ts'
import { EPOLLET, EPOLLIN, EPOLLOUT, EPOLLRDHUP } from '../../../src/relay/linux/libc.ts'
import { WaitingEvents } from '../../../src/relay/linux/waiting-events.ts'

const slots = 4

function start(): { readonly table: ConnectionTable; readonly waiting: WaitingEvents; readonly takeAll: () => (readonly [token: number, events: number])[] } {
  const table = new ConnectionTable(descriptorsIn(createDescriptors(slots), slots).connections)
  const waiting = new WaitingEvents(table)
  return {
    table, waiting,
    takeAll: () => {
      const taken: (readonly [number, number])[] = []
      for (let token = waiting.take(); token !== -1; token = waiting.take()) taken.push([token, waiting.takeEvents(token)])
      return taken
    },
  }
}

void test('descriptors have their turns in the order in which they were told of, each with all that was told', async (t) => {
  const { waiting, takeAll } = start()
  waiting.add(6, EPOLLIN)
  waiting.add(0, EPOLLOUT)
  waiting.add(6, EPOLLIN | EPOLLRDHUP)
  t.same(takeAll(), [[6, EPOLLIN | EPOLLRDHUP], [0, EPOLLOUT]])
  t.ok(waiting.isEmpty)
  waiting.add(6, EPOLLIN | EPOLLET)
  t.same(takeAll(), [[6, EPOLLIN]], 'again')
})

void test('what was told of a descriptor is not told of the next one of its token', async (t) => {
  const { table, waiting, takeAll } = start()
  table.setFd(3, 50)
  waiting.add(3, EPOLLRDHUP)
  waiting.add(5, EPOLLIN)
  table.setFd(3, -1)
  table.setFd(3, 51)
  waiting.add(3, EPOLLOUT)
  t.same(takeAll(), [[3, EPOLLOUT], [5, EPOLLIN]])
  waiting.add(3, EPOLLRDHUP)
  table.setFd(3, -1)
  t.notOk(waiting.isEmpty)
  t.same(takeAll(), [])
  t.ok(waiting.isEmpty)
})

void test('whatever comes in whatever order, nothing is lost, nothing doubled, nothing told of the wrong descriptor', async (t) => {
  const token = fc.nat(2 * slots - 1)
  const step = fc.oneof(
    fc.record({ kind: fc.constant('add' as const), token, events: fc.constantFrom(EPOLLIN, EPOLLOUT, EPOLLRDHUP) }),
    fc.record({ kind: fc.constant('replace' as const), token }),
    fc.record({ kind: fc.constant('take' as const) }),
  )
  fc.assert(fc.property(fc.array(step, { maxLength: 100 }), (steps) => {
    const { table, waiting, takeAll } = start()
    const told = new Map<number, number>()
    for (const each of steps) {
      if (each.kind === 'add') {
        waiting.add(each.token, each.events)
        told.set(each.token, (told.get(each.token) ?? 0) | each.events)
      } else if (each.kind === 'replace') {
        table.setFd(each.token, 7)
        told.delete(each.token)
      } else {
        const taken = waiting.take()
        if (taken === -1) t.equal(told.size, 0)
        else {
          t.equal(waiting.takeEvents(taken), told.get(taken))
          told.delete(taken)
        }
      }
    }
    t.same(new Map(takeAll()), told)
  }))
})
