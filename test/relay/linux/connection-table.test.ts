import { test } from '../../support/linux-only.ts'
import fc from 'fast-check'
import { listenerRowsMax } from '../../../src/core/listener-table.ts'
import { ConnectionTable, slotState, tokenBit } from '../../../src/relay/linux/connection-table.ts'
import { SocketAddressCell } from '../../../src/relay/linux/socket-address.ts'
import { createDescriptors, descriptorsIn } from '../../../src/relay/linux/descriptors.ts'

function newTable(slots: number): ConnectionTable {
  return new ConnectionTable(descriptorsIn(createDescriptors(slots), slots).connections)
}

void test('a slot that is released is nobody’s before the events in hand have been handled', async (t) => {
  const table = newTable(2)
  const [first, second] = [table.take(), table.take()]
  t.equal(table.take(), -1)
  table.release(first)
  t.equal(table.size, 2)
  t.equal(table.take(), -1)
  table.recycle()
  t.equal(table.size, 1)
  t.equal(table.take(), first)
  t.not(first, second)
})

void test('a connection has its listener’s name, also where the row is shared by many', async (t) => {
  const table = newTable(4)
  const [named, other, another] = [table.take(), table.take(), table.take()]
  table.setListener(named, '[::]:6443', 3)
  table.setListener(other, '10.0.0.1:1', listenerRowsMax - 1)
  table.setListener(another, '10.0.0.2:1', listenerRowsMax - 1)
  t.same([named, other, another].map((slot) => table.listenerName(slot)), ['[::]:6443', '10.0.0.1:1', '10.0.0.2:1'])
  table.release(other)
  table.recycle()
  const next = table.take()
  t.equal(next, other)
  table.setListener(next, '[::]:6443', 3)
  t.equal(table.listenerName(next), '[::]:6443')
})

void test('no slot is two connections’, whatever is taken and released', async () => {
  const step = fc.oneof(fc.constant('take' as const), fc.constant('recycle' as const), fc.nat())
  fc.assert(fc.property(fc.array(step, { maxLength: 100 }), (steps) => {
    const table = newTable(4)
    const [live, released] = [new Set<number>(), new Set<number>()]
    for (const each of steps) {
      if (each === 'take') {
        const slot = table.take()
        if (slot === -1 ? live.size + released.size < 4 : live.has(slot) || released.has(slot)) return false
        if (slot !== -1) live.add(slot)
      } else if (each === 'recycle') {
        table.recycle()
        released.clear()
      } else {
        const slot = Array.from(live)[each % Math.max(1, live.size)]
        if (slot === undefined) continue
        table.release(slot)
        live.delete(slot)
        released.add(slot)
      }
      if (table.size !== live.size + released.size) return false
    }
    return true
  }))
})

void test('nothing of a connection is left in its slot for the next one', async (t) => {
  const table = newTable(1)
  const slot = table.take()
  table.state[slot] = slotState.relaying
  table.relayBits[slot] = 31
  table.attempts[slot] = 3
  table.serverNames[slot] = 'acme.example.test'
  table.clients.set(slot, { address: '203.0.113.9', port: 1 })
  for (const token of [0, 1]) {
    for (const bit of Object.values(tokenBit)) {
      table.set(token, bit)
      t.ok(table.has(token, bit))
    }
    table.clear(token, tokenBit.eof)
    t.same([table.has(token, tokenBit.eof), table.has(token, tokenBit.readable)], [false, true])
    table.readBytes[token] = 9
    table.fullReads[token] = 4
  }
  table.release(slot)
  table.recycle()
  t.equal(table.take(), slot)
  t.same([table.state[slot], table.relayBits[slot], table.attempts[slot], table.serverNames[slot], table.clients.size], [slotState.free, 0, 0, undefined, 0])
  for (const token of [0, 1]) t.same([table.bits[token], table.readBytes[token], table.fullReads[token], table.fdOf(token)], [0, 0, 0, -1])
})

void test('each bit of a token is one of its own, and they fit', async (t) => {
  const bits = Object.values(tokenBit)
  t.equal(new Set(bits).size, bits.length)
  t.ok(bits.every((bit) => Number.isInteger(Math.log2(bit)) && bit < 2 ** 16))
})

void test('a peer’s address is kept as it was', async (t) => {
  const table = newTable(2)
  const cell = new SocketAddressCell()
  for (const address of [{ address: '192.0.2.1', port: 65_535 }, { address: '2001:db8::1', port: 1 }, { address: '::', port: 0 }]) {
    cell.encode(address)
    table.setDownstreamAddress(1, cell)
    t.same(table.downstreamAddress(1), address)
  }
})
