// Which tenant a hello's name leads to, and from which addresses.

import { test } from 'tap'
import { decideRoute, type RouteDecision } from '../../../src/core/route/decide.ts'
import type { TenantSpec } from '../../../src/core/snapshot.ts'
import { endpoint, listener, snapshotOf, tenant } from '../../support/config.ts'

const globex: Partial<TenantSpec> = { hostnames: ['globex.example.test', '*.globex.example.test'], allowedSources: ['192.0.2.0/24', '2001:db8::/32'] }

/** @returns the decision, with its tenant by name */
function decide({ serverName, from = '192.0.2.7', defaultTenant }: { serverName?: string; from?: string; defaultTenant?: string }): Omit<RouteDecision, 'tenant'> & { tenant?: string } {
  const snapshot = snapshotOf({
    tenants: [tenant('acme', [endpoint(31_443)]), tenant('globex', [endpoint(31_444)], globex)],
    listeners: [listener(defaultTenant === undefined ? {} : { defaultTenant })],
    tunnelHostnames: ['tunnel.globex.example.test'],
  })
  const policy = [...snapshot.listeners.values()][0]
  if (policy === undefined) throw new Error('no listener')
  const { tenant: chosen, ...decision } = { tenant: undefined, ...decideRoute(snapshot, policy, serverName, from) }
  return { ...decision, ...(chosen === undefined ? {} : { tenant: chosen.name }) }
}

void test('a name leads to its tenant', async (t) => {
  const routes: Readonly<Record<string, Partial<ReturnType<typeof decide>>>> = {
    'acme.example.test': { tenant: 'acme', pattern: 'acme.example.test' },
    'ACME.example.TEST': { tenant: 'acme', pattern: 'acme.example.test' },
    'acme.example.test.': { tenant: 'acme', pattern: 'acme.example.test' },
    'globex.example.test': { tenant: 'globex', pattern: 'globex.example.test' },
    'a.b.globex.example.test': { tenant: 'globex', pattern: '*.globex.example.test' },
  }
  for (const [serverName, route] of Object.entries(routes)) t.same(decide({ serverName }), { kind: 'route', ...route }, serverName)
})

void test('a tunnel hostname leads to the tunnel, from everywhere, though a tenant’s wildcard matches it too', async (t) => {
  for (const serverName of ['tunnel.globex.example.test', 'Tunnel.globex.example.TEST.']) {
    t.same(decide({ serverName, from: '198.51.100.7', defaultTenant: 'acme' }), { kind: 'tunnel', pattern: 'tunnel.globex.example.test' })
  }
  t.match(decide({ serverName: 'a.tunnel.globex.example.test' }), { kind: 'route', tenant: 'globex' }, 'no name below it')
})

void test('a name that leads nowhere is refused, with a default tenant too', async (t) => {
  for (const defaultTenant of [undefined, 'acme']) {
    const options = defaultTenant === undefined ? {} : { defaultTenant }
    for (const serverName of ['initech.example.test', 'a.acme.example.test', 'example.test', 'acme.example.test.evil.test']) {
      t.match(decide({ serverName, ...options }), { kind: 'refused', reason: 'unknown-server-name' }, serverName)
    }
    for (const serverName of ['acme.example.test\u0000', 'acme.example.test\r\n', 'acme .example.test', '\u00e4cme.example.test', '1.2.3', 'acme.example.test:6443', '..', 'acme..example.test', '999.1.1.1', '[::1']) {
      t.match(decide({ serverName, ...options }), { kind: 'refused', reason: 'invalid-server-name' }, JSON.stringify(serverName))
    }
  }
})

void test('no name, or an IP address for one, leads to the default tenant or nowhere', async (t) => {
  for (const serverName of [undefined, '192.0.2.1', '192.0.2.1.', '::1', '[2001:db8::1]']) {
    const options = serverName === undefined ? {} : { serverName }
    t.match(decide(options), { kind: 'refused', reason: 'no-server-name' }, String(serverName))
    t.same(decide({ ...options, defaultTenant: 'acme' }), { kind: 'route', tenant: 'acme' }, String(serverName))
  }
})

void test('a source outside allowedSources is refused, by whatever name it comes', async (t) => {
  t.match(decide({ serverName: 'globex.example.test', from: '2001:db8::7' }), { kind: 'route', tenant: 'globex' })
  t.match(decide({ serverName: 'acme.example.test', from: '198.51.100.7' }), { kind: 'route', tenant: 'acme' })
  for (const serverName of ['globex.example.test', 'a.globex.example.test']) {
    t.match(decide({ serverName, from: '198.51.100.7' }), { kind: 'refused', reason: 'source-not-allowed', tenant: 'globex', detail: /198\.51\.100\.7 is not in allowedSources of tenant globex/ })
  }
  t.match(decide({ from: '198.51.100.7', defaultTenant: 'globex' }), { kind: 'refused', reason: 'source-not-allowed', tenant: 'globex' })
})
