import { test } from 'tap'
import { changeSince } from '../../src/config/change.ts'
import { ConfigLoader, type LoadedConfig } from '../../src/config/config-loader.ts'

function text(tenants: Readonly<Record<string, number>>, settings = ''): string {
  const items = Object.entries(tenants).map(([name, attempts]) => `  - { name: ${name}, hostnames: [${name}.example.com], apiServer: { endpoints: [10.1.0.1:6443] }, retries: { attempts: ${attempts} } }\n`)
  return `listeners: [{ address: 127.0.0.1:6443, defaultTenant: acme }]\n${settings}tenants:\n${items.join('')}`
}

void test('a change has what differs, whichever way a file was read', async (t) => {
  const loader = new ConfigLoader({ file: 'sluice.yaml', env: {} })
  const load = (edited: string): LoadedConfig => loader.parse(Buffer.from(edited))
  const names = (change: ReturnType<typeof changeSince>): unknown => [change.tenants.map(({ name }) => name).toSorted(), change.removedTenants]
  const { tenants } = load(text({ acme: 1, globex: 1, initech: 1 }))
  const next = text({ hooli: 1, globex: 2, acme: 1 })
  for (const edited of [next, next.replaceAll('\n', '\r\n'), `${next}# the same\n`]) {
    t.same(names(changeSince(tenants, load(edited))), [['globex', 'hooli'], ['initech']])
  }
  t.same(names(changeSince(tenants, load(text({ acme: 1, globex: 1, initech: 1 }, 'defaults: { timeouts: { idle: 1h } }\n')))), [[], []], 'a default that is written out')
  t.same(names(changeSince(tenants, load(text({ acme: 1, globex: 1, initech: 1 }, 'defaults: { timeouts: { idle: 2h } }\n')))), [['acme', 'globex', 'initech'], []])
  t.same(names(changeSince(undefined, load(next))), [['acme', 'globex', 'hooli'], 'all-others'])
  t.same(changeSince(tenants, load(text({ acme: 1 }, 'defaults: { timeouts: { hello: 1s } }\n'))).listeners, [{ name: '127.0.0.1:6443', defaultTenant: 'acme', helloTimeoutMs: 1_000 }])
})
