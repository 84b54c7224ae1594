// The register: one target for all who share it, what the operator says of it, panic, and what reloads leave alone.

import fc from 'fast-check'
import { test } from 'tap'
import { createActiveCells, failuresInARowMax, SharedActiveCounts, type ActiveCells } from '../../../src/core/balance/active-counts.ts'
import type { EjectionSpec } from '../../../src/core/balance/ejections.ts'
import { EndpointRegister, type EjectionNews, type EndpointPlace, type EndpointState, type TargetChange } from '../../../src/core/balance/endpoint-register.ts'
import { EndpointRows } from '../../../src/core/balance/endpoint-rows.ts'
import { failedBit, heldBit, shareParts, startingSlowly } from '../../../src/core/balance/endpoint-states.ts'
import type { Endpoint } from '../../../src/core/balance/endpoint.ts'
import type { HealthSpec } from '../../../src/core/health/health-spec.ts'
import type { SnapshotChange, TenantSpec } from '../../../src/core/snapshot.ts'
import { endpoint, tenant } from '../../support/config.ts'

const tcp: HealthSpec = { kind: 'tcp', intervalMs: 10_000, timeoutMs: 3_000, fall: 3, rise: 2, slowStartMs: 0 }
const ejection: EjectionSpec = { failures: 3, timeMs: 16_000, sharePercent: 50 }

/** A register, and the tenants that it was given last. */
class Fixture {
  readonly cells: ActiveCells = createActiveCells(2)
  /** States, in the order in which they were written. */
  readonly written: number[] = []
  readonly register = new EndpointRegister({ ...this.cells, states: this.#told(this.cells.states) })
  readonly #rows = new EndpointRows(this.cells)
  readonly tenants = new Map<string, readonly Endpoint[]>()

  update(tenants: readonly TenantSpec[], removedTenants: SnapshotChange['removedTenants'] = []): TargetChange {
    const { change } = this.#rows.give({ version: 1, listeners: [], tenants, removedTenants })
    if (removedTenants === 'all-others') this.tenants.clear()
    else for (const name of removedTenants) this.tenants.delete(name)
    for (const { name, endpoints } of change.tenants) this.tenants.set(name, endpoints)
    return this.register.update(change, 1_000)
  }

  #told(states: ActiveCells['states']): ActiveCells['states'] {
    return new Proxy(states, {
      get: (cells, key) => Reflect.get(cells, key),
      set: (cells, key, value: number) => {
        this.written.push(value)
        return Reflect.set(cells, key, value)
      },
    })
  }

  /** By port. */
  bits(name: string): Record<number, number> {
    return Object.fromEntries((this.tenants.get(name) ?? []).map(({ port, row = -1 }) => [port, this.cells.states[row] ?? -1]))
  }

  fails(id: number): void {
    this.register.setHealth(id, { isDown: true, parts: shareParts, why: 'connection refused' }, 2_000)
  }

  /** Dials of clients to an endpoint of a tenant fail, or succeed. */
  dials(name: string, port: number, outcomes: readonly ('fails' | 'succeeds')[], nowMs = 0, { begin = 'in turn' }: { readonly begin?: 'in turn' | 'all at once' } = {}): EjectionNews {
    const counts = new SharedActiveCounts(this.cells, 0)
    const its = this.tenants.get(name)?.find((each) => each.port === port)
    if (its === undefined) return { began: [], refused: 0 }
    const first = counts.began(its)
    counts.ended(its)
    for (const outcome of outcomes) {
      const begun = begin === 'in turn' ? counts.began(its) : first
      if (begin === 'in turn') counts.ended(its)
      if (outcome === 'fails') counts.failed(its, begun)
      else counts.connected(its)
    }
    return this.register.eject(its.row === undefined ? [] : [its.row], nowMs)
  }

  recovers(id: number, parts = shareParts): void {
    this.register.setHealth(id, { isDown: false, parts, why: 'connection accepted' }, 3_000)
  }
}

void test('an address and a port is one target, whoever has it; checked otherwise it is another', async (t) => {
  const fixture = new Fixture()
  const { added } = fixture.update([
    tenant('acme', [endpoint(1), endpoint(2)], { health: tcp }),
    tenant('globex', [endpoint(2), endpoint(3)], { health: { ...tcp } }),
    tenant('initech', [endpoint(2)], { health: { ...tcp, kind: 'tls', serverName: 'initech.example.test' } }),
    tenant('umbrella', [endpoint(2)]),
  ])
  t.same(added.map(({ port, health }) => [port, health?.kind]), [[1, 'tcp'], [2, 'tcp'], [3, 'tcp'], [2, 'tls'], [2, undefined]])
  const [, two] = added
  if (two === undefined) return
  fixture.fails(two.id)
  t.same(['acme', 'globex', 'initech', 'umbrella'].map((name) => fixture.bits(name)), [{ 1: 0, 2: failedBit }, { 2: failedBit, 3: 0 }, { 2: 0 }, { 2: 0 }])
  fixture.recovers(two.id, 64)
  t.same(fixture.bits('globex'), { 2: startingSlowly(64), 3: 0 })
  t.equal(fixture.register.figures().startingSlowly, 2)
  fixture.recovers(two.id)
  t.same(fixture.bits('globex'), { 2: 0, 3: 0 })
})

void test('a reload keeps what is known of targets that stay, and says which come and go', async (t) => {
  const fixture = new Fixture()
  const { added: [one] } = fixture.update([tenant('acme', [endpoint(1)], { health: tcp })])
  if (one === undefined) return
  fixture.fails(one.id)
  t.same(fixture.update([tenant('acme', [endpoint(1), endpoint(2)], { health: tcp }), tenant('globex', [endpoint(1)], { health: tcp })]), { added: [{ id: 2, address: '127.0.0.1', port: 2, health: tcp }], removed: [], down: [] })
  t.same([fixture.bits('acme'), fixture.bits('globex')], [{ 1: failedBit, 2: 0 }, { 1: failedBit }], 'a tenant that comes later finds it down')
  t.same(fixture.update([], ['acme']), { added: [], removed: [2], down: [] })
  t.same(fixture.update([tenant('globex', [endpoint(3)], { health: tcp })], 'all-others'), { added: [{ id: 3, address: '127.0.0.1', port: 3, health: tcp }], removed: [1], down: [] })
  t.same(fixture.bits('globex'), { 3: 0 }, 'who has a row after another begins anew')
  fixture.fails(one.id)
  t.same(fixture.bits('globex'), { 3: 0 }, 'what is heard late of one that is gone changes nothing')
})

void test('one that is down and is to be checked otherwise stays down until that finds it ready', async (t) => {
  const fixture = new Fixture()
  const { added: [one] } = fixture.update([tenant('acme', [endpoint(1), endpoint(2)], { health: tcp })])
  fixture.fails(one?.id ?? 0)
  const { added, removed, down } = fixture.update([tenant('acme', [endpoint(1), endpoint(2)], { health: { ...tcp, fall: 2 } })])
  t.same([removed.length, added.map(({ port }) => port), down], [2, [1, 2], [added[0]?.id]])
  t.same(fixture.bits('acme'), { 1: failedBit, 2: 0 })
  t.match(fixture.register.list({ port: 1 }), [{ health: { state: 'down', why: 'connection refused', sinceMs: 2_000 } }])
  fixture.recovers(added[0]?.id ?? 0)
  t.same(fixture.bits('acme'), { 1: 0, 2: 0 })
  fixture.fails(added[1]?.id ?? 0)
  t.same(fixture.update([tenant('acme', [endpoint(1), endpoint(2)])]).down, [], 'one that is checked no more is ready')
  t.same(fixture.bits('acme'), { 1: 0, 2: 0 })
})

void test('a reload that leaves a state as it is does not write another one for a moment', async (t) => {
  const fixture = new Fixture()
  const acme = tenant('acme', [endpoint(1), endpoint(2)], { health: tcp })
  const { added: [one] } = fixture.update([acme, tenant('globex', [endpoint(2)])])
  fixture.fails(one?.id ?? 0)
  fixture.register.setOperatorState({ address: endpoint(2).address, port: 2 }, 'draining')
  fixture.written.length = 0
  fixture.update([{ ...acme, connectTimeoutMs: 1 }], 'all-others')
  t.same(fixture.bits('acme'), { 1: failedBit, 2: heldBit })
  t.same(fixture.written, [failedBit, heldBit, 0], 'globex’s row, which is nobody’s now')
})

void test('what the operator says holds against checks, the closer one first, over reloads, until it is taken back', async (t) => {
  const fixture = new Fixture()
  const specs = [tenant('acme', [endpoint(1), endpoint(2)], { health: tcp }), tenant('globex', [endpoint(1)], { health: tcp })]
  const { added: [one] } = fixture.update(specs)
  if (one === undefined) return
  const { register } = fixture
  t.equal(register.setOperatorState({ address: '127.0.0.1' }, 'down'), 3)
  t.same([fixture.bits('acme'), fixture.bits('globex')], [{ 1: heldBit, 2: heldBit }, { 1: heldBit }])
  t.equal(register.setOperatorState({ address: '127.0.0.1', port: 1 }, 'ready'), 2)
  fixture.fails(one.id)
  t.same([fixture.bits('acme'), fixture.bits('globex')], [{ 1: 0, 2: heldBit }, { 1: 0 }], 'ready, whatever its checks say')
  t.equal(register.setOperatorState({ address: '127.0.0.1', port: 1, tenant: 'globex' }, 'draining'), 1)
  fixture.update(specs, 'all-others')
  fixture.update([tenant('initech', [endpoint(9)])])
  t.same(['acme', 'globex', 'initech'].map((name) => fixture.bits(name)), [{ 1: 0, 2: heldBit }, { 1: heldBit }, { 9: heldBit }])
  t.match(register.figures(), { ready: 1, draining: 1, down: 2 })
  for (const place of [{ port: 1 }, { port: 1, tenant: 'globex' }, {}]) register.setOperatorState({ address: '127.0.0.1', ...place }, undefined)
  t.same(['acme', 'globex', 'initech'].map((name) => fixture.bits(name)), [{ 1: failedBit, 2: 0 }, { 1: failedBit }, { 9: 0 }])
  t.equal(register.setOperatorState({ address: '192.0.2.77' }, 'down'), 0, 'nobody is there')
})

void test('a tenant is in panic while its checks leave it nobody, and that is told once', async (t) => {
  const fixture = new Fixture()
  const { register } = fixture
  const { added: [one, two] } = fixture.update([tenant('acme', [endpoint(1), endpoint(2), endpoint(3, { weight: 0 })], { health: tcp }), tenant('globex', [endpoint(1)], { health: tcp })])
  if (one === undefined || two === undefined) return
  t.equal(register.takePanicNews(), undefined)
  fixture.fails(one.id)
  t.same(register.takePanicNews(), { began: { count: 1, tenants: ['globex'] }, ended: { count: 0, tenants: [] } })
  fixture.fails(two.id)
  fixture.recovers(one.id)
  fixture.fails(one.id)
  t.same(register.takePanicNews(), { began: { count: 1, tenants: ['acme'] }, ended: { count: 0, tenants: [] } }, 'what has come and gone is no news')
  t.equal(register.figures().tenantsInPanic, 2)
  fixture.update([], ['globex'])
  register.setOperatorState({ address: '127.0.0.1', port: 2, tenant: 'acme' }, 'ready')
  t.same(register.takePanicNews(), { began: { count: 0, tenants: [] }, ended: { count: 2, tenants: ['globex', 'acme'] } })
  for (const port of [1, 2]) register.setOperatorState({ address: '127.0.0.1', port }, 'draining')
  register.setOperatorState({ address: '127.0.0.1', port: 2, tenant: 'acme' }, undefined)
  t.equal(register.figures().tenantsInPanic, 0, 'where the operator has taken all out it is no panic')
})

void test('the listing says of each endpoint its state, why, its connections and its tenants', async (t) => {
  const fixture = new Fixture()
  const { register, cells } = fixture
  const { added: [one] } = fixture.update([tenant('acme', [endpoint(1), endpoint(2, { weight: 5 })], { health: tcp }), tenant('globex', [endpoint(1)], { health: tcp })])
  if (one === undefined) return
  fixture.fails(one.id)
  const [first] = fixture.tenants.get('acme') ?? []
  if (first !== undefined) new SharedActiveCounts(cells, 1).began(first)
  register.setOperatorState({ address: '127.0.0.1', port: 1, tenant: 'globex' }, 'draining')
  const [ofOne, ofTwo] = register.list()
  t.same(ofOne, {
    name: '127.0.0.1:1', address: '127.0.0.1', port: 1, check: 'tcp', health: { state: 'down', share: 1, why: 'connection refused', sinceMs: 2_000 }, activeConnections: 1, tenantCount: 2,
    tenants: [{ tenant: 'globex', weight: 1, state: 'draining', by: 'operator', share: 1, activeConnections: 0 }, { tenant: 'acme', weight: 1, state: 'down', by: 'checks', share: 1, activeConnections: 1 }],
  })
  t.match(ofTwo, { name: '127.0.0.1:2', health: { state: 'ready', why: 'it was not checked yet', sinceMs: 1_000 } })
  t.same(register.list({ tenant: 'globex' }).map(({ name, tenants }) => [name, tenants.map((each) => each.tenant)]), [['127.0.0.1:1', ['globex']]])
  t.same([register.list({ address: '127.0.0.1', port: 2 }).length, register.list({ address: '127.0.0.2' }).length, register.list({}, 1).length], [1, 0, 1])
})

const thrice = ['fails', 'fails', 'fails'] as const

void test('an endpoint is ejected by dials that fail in a row, with none in between that succeeded, for that tenant alone, and comes back slowly', async (t) => {
  const fixture = new Fixture()
  const { register } = fixture
  const four = [1, 2, 3, 4].map((port) => endpoint(port))
  fixture.update([tenant('acme', four, { health: tcp, ejection }), tenant('globex', four, { health: tcp, ejection }), tenant('initech', four, { health: tcp })])
  t.same(fixture.dials('acme', 1, ['fails', 'fails', 'succeeds', 'fails', 'fails']), { began: [], refused: 0 })
  t.same(fixture.dials('acme', 1, ['fails']), { began: [{ tenant: 'acme', endpoint: '127.0.0.1:1', failures: 3, forMs: 16_000 }], refused: 0 })
  t.same(fixture.dials('initech', 1, thrice).began, [], 'who has no ejection')
  t.same(['acme', 'globex', 'initech'].map((name) => fixture.bits(name)), [{ 1: failedBit, 2: 0, 3: 0, 4: 0 }, { 1: 0, 2: 0, 3: 0, 4: 0 }, { 1: 0, 2: 0, 3: 0, 4: 0 }])
  t.match(register.figures(), { ready: 11, down: 1, ejected: 1 })
  t.match(register.list({ port: 1, tenant: 'acme' }), [{ health: { state: 'ready' }, tenants: [{ tenant: 'acme', state: 'down', by: 'ejection' }] }])
  t.same(register.endEjections(15_999), [])
  t.same(register.endEjections(16_000), [{ tenant: 'acme', endpoint: '127.0.0.1:1' }])
  t.same(fixture.bits('acme'), { 1: startingSlowly(16), 2: 0, 3: 0, 4: 0 })
  t.match(register.list({ port: 1, tenant: 'acme' }), [{ tenants: [{ state: 'ready', by: 'checks', share: 1 / 16 }] }])
  t.match(fixture.dials('acme', 1, ['fails'], 17_000).began, [{ failures: 4, forMs: 32_000 }], 'nobody has reached it yet: the next failure ejects it for longer')
  register.endEjections(49_000)
  fixture.dials('acme', 1, ['succeeds', 'fails', 'fails'], 50_000)
  register.endEjections(49_000 + 8_000)
  t.same(fixture.bits('acme'), { 1: startingSlowly(144), 2: 0, 3: 0, 4: 0 }, 'it was reached, so two failures are no more than that')
  register.endEjections(49_000 + 16_000)
  t.same(fixture.bits('acme'), { 1: 0, 2: 0, 3: 0, 4: 0 })
})

void test('dials that began together and run out of time together are no failures in a row, where others succeeded meanwhile', async (t) => {
  const fixture = new Fixture()
  fixture.update([tenant('acme', [endpoint(1), endpoint(2)], { health: tcp, ejection })])
  t.same(fixture.dials('acme', 1, ['succeeds', ...thrice], 0, { begin: 'all at once' }).began, [])
  t.equal(fixture.dials('acme', 1, thrice, 0, { begin: 'all at once' }).began.length, 1, 'as where none did')
})

void test('failures in a row are counted as far as they can make a difference', async (t) => {
  const fixture = new Fixture()
  fixture.update([tenant('acme', [endpoint(1)], { health: tcp, ejection })])
  fixture.cells.failuresInARow[fixture.tenants.get('acme')?.[0]?.row ?? -1] = failuresInARowMax
  fixture.dials('acme', 1, thrice)
  t.equal(fixture.cells.failuresInARow[fixture.tenants.get('acme')?.[0]?.row ?? -1], failuresInARowMax)
})

void test('an endpoint without weight is not ejected, and nothing of what failed there is left once it has some', async (t) => {
  const fixture = new Fixture()
  const withWeight = (weight: number): void => {
    fixture.update([tenant('acme', [endpoint(1), endpoint(2), endpoint(3, { weight })], { health: tcp, ejection })])
  }
  withWeight(0)
  t.same(fixture.dials('acme', 3, thrice), { began: [], refused: 0 })
  withWeight(1)
  t.same(fixture.dials('acme', 3, ['fails']).began, [])
  t.same(fixture.bits('acme'), { 1: 0, 2: 0, 3: 0 })
})

void test('of a tenant’s endpoints no more than its share is ejected, but one, and never the last one that is ready', async (t) => {
  for (const { endpoints, down = 0, quiesced = 0, sharePercent, expected } of [
    { endpoints: 1, sharePercent: 100, expected: 0 }, { endpoints: 2, sharePercent: 10, expected: 1 }, { endpoints: 2, sharePercent: 100, expected: 1 },
    { endpoints: 3, sharePercent: 50, expected: 1 }, { endpoints: 4, sharePercent: 50, expected: 2 }, { endpoints: 10, sharePercent: 30, expected: 3 }, { endpoints: 10, sharePercent: 100, expected: 9 },
    // What checks have found down is not ejected, and takes nothing of the share.
    { endpoints: 4, down: 1, sharePercent: 50, expected: 2 }, { endpoints: 4, down: 2, sharePercent: 50, expected: 1 }, { endpoints: 4, down: 3, sharePercent: 100, expected: 0 },
    { endpoints: 4, quiesced: 2, sharePercent: 100, expected: 1 },
  ]) {
    const fixture = new Fixture()
    const ports = Array.from({ length: endpoints }, (_, index) => index + 1)
    const { added } = fixture.update([tenant('acme', ports.map((port) => endpoint(port, { weight: port > endpoints - quiesced ? 0 : 1 })), { health: tcp, ejection: { ...ejection, sharePercent } })])
    for (const { id } of added.slice(0, down)) fixture.fails(id)
    const told = ports.slice(down, endpoints - quiesced).map((port) => fixture.dials('acme', port, thrice))
    const what = JSON.stringify({ endpoints, down, quiesced, sharePercent })
    t.equal(told.flatMap(({ began }) => began).length, expected, what)
    t.equal(told.reduce((sum, { refused }) => sum + refused, 0), endpoints - quiesced === 1 ? 0 : endpoints - down - quiesced - expected, what)
    t.match(fixture.register.figures(), { ejected: expected, tenantsInPanic: 0 }, what)
  }
})

void test('where all others go down, those that were only ejected are picked rather than all of them tried', async (t) => {
  const fixture = new Fixture()
  const { register } = fixture
  const { added: [one, two] } = fixture.update([tenant('acme', [endpoint(1), endpoint(2)], { health: tcp, ejection })])
  if (one === undefined || two === undefined) return
  fixture.dials('acme', 1, thrice)
  fixture.fails(two.id)
  t.same(fixture.bits('acme'), { 1: 0, 2: failedBit })
  t.same([register.takePanicNews(), register.figures().ejected], [undefined, 0])
  t.same(fixture.dials('acme', 1, ['fails']), { began: [], refused: 1 })
  fixture.recovers(two.id)
  fixture.dials('acme', 1, ['fails'])
  t.same(fixture.bits('acme'), { 1: failedBit, 2: 0 })
  register.setOperatorState({ address: '127.0.0.1', port: 2 }, 'draining')
  t.same(fixture.bits('acme'), { 1: 0, 2: heldBit }, 'or where the operator has taken them')
})

void test('checks that find an endpoint down, or ready again, and the operator, end its ejection; one that the operator has set ready is not ejected', async (t) => {
  const fixture = new Fixture()
  const { register } = fixture
  const { added: [one] } = fixture.update([tenant('acme', [endpoint(1), endpoint(2), endpoint(3)], { health: tcp, ejection })])
  if (one === undefined) return
  fixture.dials('acme', 1, thrice)
  fixture.fails(one.id)
  t.match(register.list({ port: 1 }), [{ tenants: [{ state: 'down', by: 'checks' }] }])
  t.same(fixture.dials('acme', 2, thrice).began.length, 1, 'it counts no more')
  fixture.recovers(one.id)
  t.same(fixture.bits('acme'), { 1: 0, 2: failedBit, 3: 0 })
  t.equal(fixture.cells.failuresInARow[fixture.tenants.get('acme')?.[0]?.row ?? -1], 0, 'what failed before is over')
  register.setOperatorState({ address: '127.0.0.1', port: 2 }, 'ready')
  t.same(fixture.dials('acme', 2, thrice), { began: [], refused: 0 })
  register.setOperatorState({ address: '127.0.0.1', port: 2 }, undefined)
  t.same(fixture.bits('acme'), { 1: 0, 2: 0, 3: 0 })
})

void test('a reload keeps ejections of endpoints that stay, and who has a row after another begins anew', async (t) => {
  const fixture = new Fixture()
  const acme = tenant('acme', [endpoint(1), endpoint(2), endpoint(3)], { health: tcp, ejection })
  fixture.update([acme])
  fixture.dials('acme', 1, thrice)
  fixture.dials('acme', 2, ['fails', 'fails'])
  fixture.update([{ ...acme, connectTimeoutMs: 1 }], 'all-others')
  t.same(fixture.bits('acme'), { 1: failedBit, 2: 0, 3: 0 })
  fixture.update([{ ...acme, ejection: { ...ejection, timeMs: 1_000 } }])
  t.same([fixture.register.endEjections(999), fixture.register.endEjections(1_000)], [[], [{ tenant: 'acme', endpoint: '127.0.0.1:1' }]], 'a time that is shorter now holds for who is out already')
  fixture.update([tenant('acme', [endpoint(4), endpoint(5), endpoint(6)], { health: tcp, ejection })])
  t.same(fixture.bits('acme'), { 4: 0, 5: 0, 6: 0 })
  t.same([4, 5, 6].map((port) => fixture.dials('acme', port, ['fails'])), [1, 2, 3].map(() => ({ began: [], refused: 0 })))
  t.same(fixture.dials('acme', 4, ['fails', 'fails']).began.length, 1)
  fixture.update([tenant('acme', [endpoint(4), endpoint(5)], { health: tcp })])
  t.same([fixture.bits('acme'), fixture.register.endEjections(Infinity)], [{ 4: 0, 5: 0 }, []], 'without ejection nobody is ejected')
})

void test('whatever happens, ejection leaves a tenant somebody that is not down, and figures are what can be counted', async () => {
  const name = fc.constantFrom('acme', 'globex')
  const port = fc.integer({ min: 1, max: 5 })
  const step = fc.oneof(
    { weight: 1, arbitrary: fc.record({ kind: fc.constant('publish' as const), name, ports: fc.uniqueArray(port, { minLength: 1, maxLength: 5 }), sharePercent: fc.constantFrom(1, 50, 100) }) },
    { weight: 2, arbitrary: fc.record({ kind: fc.constant('health' as const), id: fc.integer({ min: 1, max: 20 }), isDown: fc.boolean() }) },
    { weight: 1, arbitrary: fc.record({ kind: fc.constant('operator' as const), port, state: fc.constantFrom<EndpointState | undefined>('ready', 'draining', undefined) }) },
    { weight: 5, arbitrary: fc.record({ kind: fc.constant('dials' as const), name, port, outcomes: fc.array(fc.constantFrom('fails' as const, 'fails' as const, 'fails' as const, 'succeeds' as const), { maxLength: 5 }) }) },
    { weight: 2, arbitrary: fc.record({ kind: fc.constant('time' as const), passedMs: fc.integer({ min: 1, max: 40_000 }) }) },
  )
  fc.assert(fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
    const fixture = new Fixture()
    const { register, cells } = fixture
    const shares = new Map<string, number>()
    const isDown = new Map<number, boolean>()
    let nowMs = 0
    return steps.every((each) => {
      switch (each.kind) {
        case 'publish': {
          shares.set(each.name, each.sharePercent)
          const { removed } = fixture.update([tenant(each.name, each.ports.map((at) => endpoint(at)), { health: tcp, ejection: { ...ejection, sharePercent: each.sharePercent } })])
          for (const id of removed) isDown.delete(id)
          break
        }
        case 'health': if (register.setHealth(each.id, { isDown: each.isDown, parts: shareParts, why: '' }, 0) !== undefined) isDown.set(each.id, each.isDown); break
        case 'operator': register.setOperatorState({ address: '127.0.0.1', port: each.port }, each.state); break
        case 'dials': {
          const { began } = fixture.dials(each.name, each.port, each.outcomes, nowMs)
          const states = register.list({ tenant: each.name }).flatMap(({ tenants }) => tenants)
          const [eligible, ejected] = [states.filter(({ state, by }) => by !== 'operator' || state === 'ready').length, states.filter(({ by }) => by === 'ejection').length]
          if (began.length > 0 && ejected > Math.max(1, Math.floor(eligible * (shares.get(each.name) ?? 0) / 100))) return false
          break
        }
        case 'time':
          nowMs += each.passedMs
          register.endEjections(nowMs)
          break
        default: each satisfies never
      }
      const all = register.list()
      const leavesSomebody = [...fixture.tenants.keys()].every((of) => {
        const states = all.flatMap(({ tenants }) => tenants.filter(({ tenant: its }) => its === of)).filter(({ state, by }) => by !== 'operator' || state === 'ready')
        return states.some(({ state }) => state === 'ready') || states.every(({ by }) => by === 'checks')
      })
      const bitsAreSo = [...fixture.tenants].every(([of, its]) => its.every(({ port: at, row = -1 }) => {
        const status = all.find((one) => one.port === at)?.tenants.find(({ tenant: one }) => one === of)
        return ((cells.states[row] ?? 0) & (failedBit | heldBit)) === (status?.state === 'ready' ? 0 : status?.by === 'operator' ? heldBit : failedBit)
      }))
      const { ready, down, ejected } = register.figures()
      const counted = all.flatMap(({ tenants }) => tenants)
      return leavesSomebody && bitsAreSo && ejected === counted.filter(({ by }) => by === 'ejection').length && ready === counted.filter(({ state }) => state === 'ready').length && down === counted.filter(({ state }) => state === 'down').length
    })
  }), { numRuns: 200 })
})

void test('whatever happens, each row is as its target and the operator say, and figures are what can be counted', async () => {
  const name = fc.constantFrom('acme', 'globex', 'initech')
  const port = fc.integer({ min: 1, max: 4 })
  const state = fc.constantFrom<EndpointState | undefined>('ready', 'draining', 'down', undefined)
  const step = fc.oneof(
    fc.record({ kind: fc.constant('publish' as const), name, ports: fc.uniqueArray(port, { maxLength: 4 }) }),
    fc.record({ kind: fc.constant('health' as const), port, isDown: fc.boolean(), parts: fc.integer({ min: 1, max: shareParts }) }),
    fc.record({ kind: fc.constant('operator' as const), tenant: fc.option(name, { nil: undefined }), port: fc.option(port, { nil: undefined }), state }),
  )
  fc.assert(fc.property(fc.array(step, { maxLength: 40 }), (steps) => {
    const fixture = new Fixture()
    const { register, cells } = fixture
    const ids = new Map<number, number>()
    const health = new Map<number, number>()
    const said = new Map<string, EndpointState>()
    const keyOf = (tenantName: string | undefined, at: number | undefined): string => `${tenantName ?? '*'} ${at ?? '*'}`
    const isPlace = (tenantName: string | undefined, at: number | undefined): boolean =>
      [...fixture.tenants].some(([each, its]) => (tenantName ?? each) === each && its.some((one) => (at ?? one.port) === one.port))
    for (const each of steps) {
      switch (each.kind) {
        case 'publish': {
          const { added, removed } = fixture.update(each.ports.length === 0 ? [] : [tenant(each.name, each.ports.map((at) => endpoint(at)), { health: tcp })], each.ports.length === 0 ? [each.name] : [])
          for (const [at, id] of ids) if (removed.includes(id)) { ids.delete(at); health.delete(at) }
          for (const { id, port: at } of added) ids.set(at, id)
          break
        }
        case 'health': {
          const id = ids.get(each.port)
          if (id === undefined) break
          register.setHealth(id, { isDown: each.isDown, parts: each.parts, why: '' }, 0)
          health.set(each.port, each.isDown ? failedBit : startingSlowly(each.parts))
          break
        }
        case 'operator': {
          const place: EndpointPlace = { address: '127.0.0.1', ...(each.tenant === undefined ? {} : { tenant: each.tenant }), ...(each.port === undefined ? {} : { port: each.port }) }
          if (each.state === undefined) said.delete(keyOf(each.tenant, each.port))
          else if (isPlace(each.tenant, each.port)) said.set(keyOf(each.tenant, each.port), each.state)
          register.setOperatorState(place, each.state)
          break
        }
        default: each satisfies never
      }
    }
    const counts = { ready: 0, draining: 0, down: 0 }
    let panicking = 0
    for (const [tenantName, its] of fixture.tenants) {
      const bits = its.map(({ port: at, row = -1 }) => {
        const operator = [keyOf(tenantName, at), keyOf(tenantName, undefined), keyOf(undefined, at), keyOf(undefined, undefined)].map((key) => said.get(key)).find((one) => one !== undefined)
        const expected = operator === undefined ? health.get(at) ?? 0 : operator === 'ready' ? 0 : heldBit
        counts[operator ?? (expected === failedBit ? 'down' : 'ready')] += 1
        return cells.states[row] === expected ? expected : Number.NaN
      })
      if (bits.includes(Number.NaN)) return false
      const eligible = bits.filter((each) => each !== heldBit)
      if (eligible.length > 0 && eligible.every((each) => each === failedBit)) panicking += 1
    }
    const figures = register.figures()
    return figures.ready === counts.ready && figures.draining === counts.draining && figures.down === counts.down && figures.tenantsInPanic === panicking && figures.targets === ids.size
  }), { numRuns: 500 })
})
