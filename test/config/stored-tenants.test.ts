// Tenants of a store beside those of the file: who holds, and what is said of those who don't.

import { test } from 'tap'
import { formatProblem } from '../../src/config/config-error.ts'
import { ConfigLoader, type LoadedConfig } from '../../src/config/config-loader.ts'
import { StoredTenants, type MergedConfig } from '../../src/config/stored-tenants.ts'
import { ShardedMap } from '../../src/core/sharded-map.ts'

const loader = new ConfigLoader({ file: 'sluice.yaml', env: {} })

function fileWith(tenants: string, rest = ''): LoadedConfig {
  return loader.parse(Buffer.from(`listeners: [{ address: 127.0.0.1:6443 }]
pools: { admin: { addresses: [10.1.0.11, 10.1.0.12] } }
defaults: { timeouts: { connect: 1s } }
${rest}
tenants:
${tenants}`))
}

function inFile(name: string, hostname = `${name}.example.com`): string {
  return `  - name: ${name}\n    hostnames: [${hostname}]\n    apiServer: { pool: admin, nodePort: 31443 }\n`
}

function text(name: string, hostname = `${name}.example.com`, apiServer = '{ pool: admin, nodePort: 31444 }'): string {
  return `name: ${name}\nhostnames: [${hostname}]\napiServer: ${apiServer}\n`
}

/** `name hostname …`, sorted. */
function tenantsOf({ config }: MergedConfig): readonly string[] {
  return [...config.tenants.changesSince(new ShardedMap())].map(({ key, after }) => [key, ...after?.hostnames ?? []].join(' ')).toSorted()
}

function refusedOf({ refused }: MergedConfig): readonly string[] {
  return refused.map(formatProblem)
}

void test('a stored tenant is as one of the file: YAML or JSON, with the file’s pools and defaults', (t) => {
  const stored = new StoredTenants()
  const file = fileWith(inFile('acme'))
  t.same(stored.mergedWith(file), { config: file, refused: [] })
  stored.change([{ name: 'globex', text: text('globex') }, { name: 'initech', text: '{"name":"initech","hostnames":["initech.example.com","*.initech.example.com"],"apiServer":{"endpoints":["10.2.0.5:6443"]}}' }])
  const merged = stored.mergedWith(file)
  t.same(refusedOf(merged), [])
  t.same(tenantsOf(merged), ['acme acme.example.com', 'globex globex.example.com', 'initech initech.example.com *.initech.example.com'])
  t.match(merged.config.tenants.get('globex'), { connectTimeoutMs: 1_000, endpoints: [{ address: '10.1.0.11', port: 31444 }, { address: '10.1.0.12' }] })
  t.equal(merged.config.hostnameCount, 4)
  stored.change([{ name: 'globex', text: undefined }])
  t.same(tenantsOf(stored.mergedWith(file)), ['acme acme.example.com', 'initech initech.example.com *.initech.example.com'])
  t.end()
})

void test('one that is wrong is refused with what is wrong, and the last that was good stays', (t) => {
  const stored = new StoredTenants()
  const file = fileWith(inFile('acme'), 'tunnel: { hostnames: [tunnel.example.com], certificate: { certFile: a, keyFile: b } }')
  stored.change([{ name: 'globex', text: text('globex') }])
  stored.mergedWith(file)
  const cases: readonly (readonly [wrong: string, problem: RegExp])[] = [
    ['name: [', /^tenants\/globex:\d+:\d+: /],
    ['', /^tenants\/globex: the file is empty|^tenants\/globex:1:1: the file is empty/],
    [text('globex').replace('name: globex', 'nam: globex'), /^tenants\/globex:1:1: name: missing; expected a name/],
    [text('initech', 'globex.example.com'), /^tenants\/globex:1:7: name: the name is initech; expected globex, as where it is kept$/],
    [text('globex', 'globex.example.com', '{ pool: admni, nodePort: 1 }'), /^tenants\/globex: apiServer\.pool: there is no pool "admni"; did you mean admin\?$/],
    [text('globex', 'globex.example.com', '{ pool: admin }'), /^tenants\/globex: apiServer: a pool without a nodePort; expected either/],
    [text('globex', 'a.example.com, a.example.com'), /^tenants\/globex: hostnames\[1\]: hostname a\.example\.com is claimed by hostnames\[0\] already/],
    [text('globex', 'acme.example.com'), /^tenants\/globex: hostnames\[0\]: hostname acme\.example\.com is claimed by the file’s tenant acme already; expected each hostname once$/],
    [text('globex', 'tunnel.example.com'), /^tenants\/globex: hostnames\[0\]: hostname tunnel\.example\.com is claimed by the tunnel already/],
  ]
  for (const [wrong, problem] of cases) {
    stored.change([{ name: 'globex', text: wrong }])
    const merged = stored.mergedWith(file)
    t.match(refusedOf(merged)[0], problem, wrong)
    t.same(tenantsOf(merged), ['acme acme.example.com', 'globex globex.example.com'])
  }
  stored.change([{ name: 'acme', text: text('acme', 'other.example.com') }])
  t.match(refusedOf(stored.mergedWith(file)).at(-1), /^tenants\/acme: name: the file has a tenant acme; expected a tenant in one of the two$/)
  stored.change([{ name: 'globex', text: text('globex', 'new.example.com') }, { name: 'acme', text: undefined }])
  const merged = stored.mergedWith(file)
  t.same(refusedOf(merged), [])
  t.same(tenantsOf(merged), ['acme acme.example.com', 'globex new.example.com'])
  t.end()
})

void test('who has a hostname keeps it, and who wants it has it once it is free', (t) => {
  const stored = new StoredTenants()
  const file = fileWith(inFile('acme'))
  stored.change([{ name: 'globex', text: text('globex', 'shared.example.com') }])
  stored.mergedWith(file)
  stored.change([{ name: 'a', text: text('a', 'shared.example.com') }])
  const refused = stored.mergedWith(file)
  t.match(refusedOf(refused), [/^tenants\/a: hostnames\[0\]: hostname shared\.example\.com is claimed by the tenant globex already/])
  t.same(refusedOf(stored.mergedWith(file)), refusedOf(refused), 'and is told as long as it is so')
  stored.change([{ name: 'globex', text: text('globex', 'own.example.com') }])
  const merged = stored.mergedWith(file)
  t.same(refusedOf(merged), [])
  t.same(tenantsOf(merged), ['a shared.example.com', 'acme acme.example.com', 'globex own.example.com'])
  t.end()
})

void test('another file goes first: what it claims, a stored tenant loses, until the file leaves it', (t) => {
  const stored = new StoredTenants()
  const before = fileWith(inFile('acme'))
  stored.change([{ name: 'globex', text: text('globex') }, { name: 'initech', text: text('initech') }])
  stored.mergedWith(before)
  const merged = stored.mergedWith(fileWith(inFile('acme', 'globex.example.com') + inFile('initech', 'other.example.com')))
  t.match(refusedOf(merged), [/^tenants\/globex: hostnames\[0\]: hostname globex\.example\.com is claimed by the file’s tenant acme/, /^tenants\/initech: name: the file has a tenant initech/])
  t.same(tenantsOf(merged), ['acme globex.example.com', 'initech other.example.com'])
  const after = stored.mergedWith(before)
  t.same(refusedOf(after), [])
  t.same(tenantsOf(after), ['acme acme.example.com', 'globex globex.example.com', 'initech initech.example.com'])
  t.end()
})
