import { test } from 'tap'
import { endpoint, listener, snapshotOf, tenant } from '../support/config.ts'

const endpoints = [endpoint(1), endpoint(2), endpoint(3)]

void test('versions count up from 1', async (t) => {
  const first = snapshotOf({ tenants: [] })
  t.equal(first.version, 1)
  t.equal(snapshotOf({ tenants: [], previous: first }).version, 2)
})

void test('tenants of one pool begin at different endpoints', async (t) => {
  const { tenants } = snapshotOf({ tenants: ['a', 'b', 'c'].map((name) => tenant(name, endpoints)) })
  t.same([...tenants.values()].map(({ scheduler }) => scheduler.pick([])?.port), [1, 2, 3])
})

void test('a scheduler keeps its place over a reload while the tenant’s endpoints stay the same', async (t) => {
  const first = snapshotOf({ tenants: [tenant('acme', endpoints)] })
  t.equal(first.tenants.get('acme')?.scheduler.pick([])?.port, 1)
  const same = snapshotOf({ tenants: [tenant('globex', endpoints), tenant('acme', endpoints, { idleTimeoutMs: 60_000 })], previous: first })
  t.equal(same.tenants.get('acme')?.scheduler.pick([])?.port, 2)
  t.equal(same.tenants.get('acme')?.idleTimeoutMs, 60_000, 'its settings are new')
  for (const changed of [endpoints.slice(1), [endpoint(1, { weight: 0 }), ...endpoints.slice(1)]]) {
    t.not(snapshotOf({ tenants: [tenant('acme', changed)], previous: same }).tenants.get('acme')?.scheduler, same.tenants.get('acme')?.scheduler)
  }
})

void test('hostnames and default tenants lead to the tenant’s one policy', async (t) => {
  const { tenants, hostnames, listeners } = snapshotOf({
    tenants: [tenant('acme', endpoints, { hostnames: ['a.example.com', '*.a.example.com'], allowedSources: ['10.0.0.0/8'] }), tenant('globex', endpoints, { allowedSources: ['10.0.0.0/8'] })],
    listeners: [listener({ name: 'x', defaultTenant: 'acme', proxyProtocol: { trustedSources: ['192.0.2.0/24'] } })],
    helloMs: 1_234,
  })
  const acme = tenants.get('acme')
  t.equal(hostnames.lookup('a.example.com')?.value, acme)
  t.equal(hostnames.lookup('b.a.example.com')?.value, acme)
  t.equal(listeners.get('x')?.defaultTenant, acme)
  t.equal(listeners.get('x')?.helloTimeoutMs, 1_234)
  t.ok(listeners.get('x')?.proxyProtocolTrustedSources?.contains('192.0.2.9'))
  t.ok(acme?.allowedSources?.contains('10.1.2.3'))
  t.equal(acme?.allowedSources, tenants.get('globex')?.allowedSources, 'equal lists share one set')
})
