import fc from 'fast-check'
import { test } from 'tap'
import { AgentTable, agentTableLimits, type Reachable } from '../../../src/core/egress/agent-table.ts'

interface Options {
  readonly tenant?: string
  readonly node?: string
  readonly keyId?: string
  readonly sinceMs?: number
  readonly distance?: number
  readonly addresses?: readonly string[]
  readonly ranges?: readonly string[]
  readonly names?: readonly string[]
}

function session(id: string, { tenant = 'acme', node = id, keyId = `key of ${node}`, sinceMs = 0, distance = 0, addresses = [], ranges = [], names = [] }: Options): Reachable<string> {
  return { id, tenant, keyId, node, sinceMs, announced: { addresses, ranges, names }, way: `to ${id}`, distance }
}

function tableOf(...sessions: readonly Reachable<string>[]): AgentTable<string> {
  const table = new AgentTable<string>()
  for (const each of sessions) table.add(each)
  return table
}

const ids = (table: AgentTable<string>, host: string, { tenant = 'acme', nowMs = 0, random = () => 0 }: { readonly tenant?: string; readonly nowMs?: number; readonly random?: () => number } = {}): readonly string[] => table.candidates(tenant, host, { nowMs, random }).map(({ id }) => id)

void test('who is asked', (t) => {
  const table = tableOf(
    session('n1', { addresses: ['192.0.2.1', '2001:db8::1'] }),
    session('n2', { addresses: ['192.0.2.2'], ranges: ['10.244.0.0/16', '192.0.2.0/24'] }),
    session('n3', { addresses: ['192.0.2.3'], ranges: ['10.244.7.0/24'], names: ['hook.corp.example', '*.svc.example'] }),
    session('other', { tenant: 'globex', addresses: ['192.0.2.1'], ranges: ['10.244.0.0/16'] }),
  )
  const cases: readonly (readonly [why: string, host: string, found: readonly string[], tenant?: string])[] = [
    ['the node that has the address, then who announces a range with it', '192.0.2.1', ['n1', 'n2']],
    ['whatever the spelling', '::ffff:192.0.2.3', ['n3', 'n2']],
    ['IPv6 too', '2001:DB8:0::1', ['n1']],
    ['the longest prefix first', '10.244.7.8', ['n3', 'n2']],
    ['a shorter one where there is no other', '10.244.8.8', ['n2']],
    ['a node by its name', 'n2', ['n2']],
    ['a name that is announced', 'Hook.corp.example.', ['n3']],
    ['a name below a wildcard', 'a.b.svc.example', ['n3']],
    ['not the wildcard’s own', 'svc.example', []],
    ['nobody', '203.0.113.1', []],
    ['another tenant’s node with the same address', '192.0.2.1', ['other'], 'globex'],
    ['never another tenant’s', '192.0.2.2', [], 'globex'],
    ['a tenant without agents', '192.0.2.1', [], 'initech'],
  ]
  for (const [why, host, found, tenant] of cases) t.same(ids(table, host, tenant === undefined ? {} : { tenant }), found, why)
  t.end()
})

void test('the first owner keeps an address, by all its sessions, until the last of them has ended', (t) => {
  const table = tableOf(
    session('a1', { node: 'a', sinceMs: 10, addresses: ['192.0.2.1'] }),
    session('b1', { node: 'b', sinceMs: 20, addresses: ['192.0.2.1', '192.0.2.2'] }),
  )
  const again = { tenant: 'acme', node: 'a', keyId: 'key of a' }
  t.equal(table.since(again), 10)
  t.equal(table.since({ ...again, keyId: 'another' }), undefined)
  t.equal(table.since({ ...again, tenant: 'globex' }), undefined)
  table.add(session('a2', { node: 'a', sinceMs: table.since(again) ?? 30, distance: 2, addresses: ['192.0.2.1'] }))
  t.same(ids(table, '192.0.2.1'), ['a1', 'a2'])
  t.same(table.takenAddresses('b1'), [{ address: '192.0.2.1', owner: 'a' }])
  t.same(table.takenAddresses('a2'), [])
  table.remove('a1')
  t.same(ids(table, '192.0.2.1'), ['a2'])
  table.remove('a2')
  t.same(ids(table, '192.0.2.1'), ['b1'])
  table.remove('b1')
  t.same(ids(table, '192.0.2.1'), [])
  t.same(ids(table, '192.0.2.2'), [])
  t.end()
})

void test('who announces an address that passes from node to node is told of once, if the session is this thread’s', (t) => {
  const table = tableOf(
    session('a1', { node: 'a', sinceMs: 10, addresses: ['192.0.2.1', '192.0.2.9'] }),
    session('a2', { node: 'a', sinceMs: 10, addresses: ['192.0.2.1'] }),
    session('b1', { node: 'b', sinceMs: 20, addresses: ['192.0.2.1'] }),
    session('c1', { node: 'c', sinceMs: 30, addresses: ['192.0.2.1'], distance: 1 }),
  )
  const passed = (): readonly string[] => table.takePassed().map(({ id }) => id)
  t.same(passed(), [], 'who came later is told when it comes')
  table.remove('a1')
  t.equal(table.hasPassed, false, 'the node has it still; the other address is nobody’s')
  table.remove('a2')
  t.equal(table.hasPassed, true)
  t.same(passed(), ['b1'])
  t.same(passed(), [])
  table.add(session('a3', { node: 'a', sinceMs: 5, addresses: ['192.0.2.1'] }))
  t.same(passed(), ['a3', 'b1'], 'one that was first, of which is heard late')
  table.remove('a3')
  for (const id of ['b1', 'c1']) table.remove(id)
  t.equal(table.hasPassed, false, 'nobody is left')
  t.end()
})

void test('what a node is called, others can’t claim', (t) => {
  const table = tableOf(session('n1', { sinceMs: 5 }), session('thief', { names: ['n1'] }))
  t.same(ids(table, 'n1'), ['n1'])
  table.remove('n1')
  t.same(ids(table, 'n1'), ['thief'])
  t.end()
})

void test('a node whose own name does not hold is not asked by it, and does not keep others from it', (t) => {
  const table = tableOf({ ...session('s1', { node: 'hook.corp.example', addresses: ['192.0.2.1'] }), announced: { addresses: ['192.0.2.1'], ranges: [], names: [], isNameRefused: true } }, session('s2', { node: 'b', names: ['hook.corp.example'] }))
  t.same(ids(table, 'hook.corp.example'), ['s2'])
  t.same(ids(table, '192.0.2.1'), ['s1'], 'by its address it is')
  t.equal(table.since({ tenant: 'acme', node: 'hook.corp.example', keyId: 'key of hook.corp.example' }), table.get('s1')?.sinceMs)
  t.end()
})

void test('of equals: those that did not fail of late, then the nearest', (t) => {
  const ranges = ['10.244.0.0/16']
  const table = tableOf(session('far', { ranges, distance: 2 }), session('near', { ranges, sinceMs: 1 }), session('thread', { ranges, sinceMs: 2, distance: 1 }))
  t.same(ids(table, '10.244.0.1'), ['near', 'thread', 'far'])
  table.failed('near', 1_000)
  t.same(ids(table, '10.244.0.1', { nowMs: 1_001 }), ['thread', 'far', 'near'])
  t.same(ids(table, '10.244.0.1', { nowMs: 1_000 + agentTableLimits.penaltyMs }), ['near', 'thread', 'far'])
  table.failed('near', 2_000)
  table.succeeded('near')
  t.same(ids(table, '10.244.0.1', { nowMs: 2_001 }), ['near', 'thread', 'far'])
  t.end()
})

void test('of a thousand that announce the same, some are looked at, and each has its turn', (t) => {
  const table = tableOf(...Array.from({ length: 1_000 }, (_, index) => session(`n${index}`, { ranges: ['10.96.0.0/12'] })))
  const first = new Set(Array.from({ length: 1_000 }, (_, turn) => ids(table, '10.96.0.1', { random: () => turn / 1_000 })[0]))
  t.equal(first.size, 1_000)
  t.equal(ids(table, '10.96.0.1').length, agentTableLimits.sampleMax)
  t.end()
})

void test('a session that comes again takes its own place; one that is unknown can be removed', (t) => {
  const table = tableOf(session('n1', { addresses: ['192.0.2.1'] }), session('n1', { addresses: ['192.0.2.9'] }))
  t.equal(table.size, 1)
  t.equal(table.count('acme'), 1)
  t.same(ids(table, '192.0.2.1'), [])
  t.same(ids(table, '192.0.2.9'), ['n1'])
  table.remove('n7')
  table.remove('n1')
  t.equal(table.size, 0)
  t.same(ids(table, '192.0.2.9'), [])
  t.end()
})

const address = fc.integer({ min: 1, max: 4 }).map((last) => `192.0.2.${last}`)
const step = fc.record({ kind: fc.constantFrom('add', 'add', 'remove'), id: fc.integer({ min: 0, max: 9 }), tenant: fc.constantFrom('acme', 'globex'), addresses: fc.uniqueArray(address, { maxLength: 3 }), sinceMs: fc.integer({ min: 0, max: 5 }) })

void test('whatever comes and goes, an address is answered by sessions of one node of the tenant, which have it, the earliest’s', (t) => {
  fc.assert(fc.property(fc.array(step, { maxLength: 40 }), (steps) => {
    const table = new AgentTable<string>()
    const live = new Map<string, Reachable<string>>()
    for (const { kind, id, tenant, addresses, sinceMs } of steps) {
      const made = session(`s${id}`, { tenant, node: `n${id % 4}`, addresses, sinceMs })
      if (kind === 'add') live.set(made.id, made)
      else live.delete(made.id)
      if (kind === 'add') table.add(made)
      else table.remove(made.id)
    }
    return ['acme', 'globex'].every((tenant) => [1, 2, 3, 4].every((last) => {
      const host = `192.0.2.${last}`
      const line = [...live.values()].filter((each) => each.tenant === tenant && each.announced.addresses.includes(host))
        .toSorted((one, other) => one.sinceMs - other.sinceMs || (one.id < other.id ? -1 : 1))
      const expected = line.filter(({ keyId }) => keyId === line[0]?.keyId).map(({ id }) => id)
      return ids(table, host, { tenant }).toSorted().join() === expected.toSorted().join()
    }))
  }))
  t.end()
})
