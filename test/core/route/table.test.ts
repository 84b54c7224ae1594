// The hostnames' table against its rules, and against a model that asks every pattern.

import fc from 'fast-check'
import { test } from 'tap'
import { DuplicateHostnameError, HostnameTable } from '../../../src/core/route/table.ts'

function tableOf(...patterns: readonly string[]): HostnameTable<string> {
  const draft = new HostnameTable<string>().draft()
  for (const pattern of patterns) draft.add(pattern, `tenant of ${pattern}`)
  return draft.done()
}

void test('a name is looked up: exact first, then the wildcard with most labels', async (t) => {
  const table = tableOf('*.example.com', 'acme.example.com', '*.acme.example.com', '*.b.acme.example.com', 'x.b.acme.example.com')
  const matches: Readonly<Record<string, string | undefined>> = {
    'acme.example.com': 'acme.example.com',
    'globex.example.com': '*.example.com',
    'a.globex.example.com': '*.example.com',
    'a.acme.example.com': '*.acme.example.com',
    'z.a.acme.example.com': '*.acme.example.com',
    'b.acme.example.com': '*.acme.example.com',
    'a.b.acme.example.com': '*.b.acme.example.com',
    'a.b.c.b.acme.example.com': '*.b.acme.example.com',
    'x.b.acme.example.com': 'x.b.acme.example.com',
    'y.x.b.acme.example.com': '*.b.acme.example.com',
    'example.com': undefined,
    'com': undefined,
    'acme.example.org': undefined,
    'notexample.com': undefined,
    'acme.notexample.com': undefined,
  }
  for (const [hostname, pattern] of Object.entries(matches)) {
    t.same(table.lookup(hostname), pattern === undefined ? undefined : { pattern, value: `tenant of ${pattern}` }, hostname)
  }
})

void test('a wildcard does not match its own suffix, but may stand beside it', async (t) => {
  t.equal(tableOf('*.example.com').lookup('example.com'), undefined)
  t.match(tableOf('*.example.com', 'example.com').lookup('example.com'), { pattern: 'example.com' })
})

void test('names that objects have are names like others', async (t) => {
  t.equal(tableOf('acme.example.com').lookup('constructor'), undefined)
  t.equal(tableOf('acme.example.com').lookup('__proto__'), undefined)
  t.match(tableOf('__proto__', 'constructor').lookup('__proto__'), { pattern: '__proto__' })
})

void test('an empty table has nothing', async (t) => {
  t.equal(tableOf().size, 0)
  t.equal(tableOf().lookup('acme.example.com'), undefined)
})

void test('one pattern twice is the caller\'s bug', async (t) => {
  t.throws(() => tableOf('acme.example.com', 'acme.example.com'), new DuplicateHostnameError('acme.example.com'))
  t.throws(() => tableOf('*.example.com', '*.example.com'), { code: 'DUPLICATE_HOSTNAME', pattern: '*.example.com' })
})

void test('a changed table leaves the one that it began as alone', async (t) => {
  const before = tableOf('acme.example.com', '*.acme.example.com', 'globex.example.com')
  const draft = before.draft()
  draft.remove('*.acme.example.com')
  draft.remove('globex.example.com')
  draft.add('globex.example.com', 'another tenant')
  draft.add('*.globex.example.com', 'another tenant')
  const after = draft.done()
  t.same([before.size, after.size], [3, 3])
  const found = (table: HostnameTable<string>): unknown => ['acme', 'a.acme', 'globex', 'a.globex'].map((name) => table.lookup(`${name}.example.com`)?.value)
  t.same(found(before), ['tenant of acme.example.com', 'tenant of *.acme.example.com', 'tenant of globex.example.com', undefined])
  t.same(found(after), ['tenant of acme.example.com', undefined, 'another tenant', 'another tenant'])
})

/** Few labels, so that names and patterns meet. */
const name = fc.array(fc.constantFrom('a', 'b', 'ab'), { minLength: 1, maxLength: 5 }).map((labels) => labels.join('.'))
const pattern = fc.oneof(name, name.map((suffix) => `*.${suffix}`))

/** Asks every pattern; of those that match, the longest wins, and an exact one is longer than any wildcard that matches. */
function modelLookup(patterns: readonly string[], hostname: string): string | undefined {
  const matching = patterns.filter((candidate) => candidate.startsWith('*.') ? hostname.endsWith(candidate.slice(1)) : candidate === hostname)
  return matching.find((candidate) => candidate === hostname) ?? matching.sort((a, b) => b.split('.').length - a.split('.').length)[0]
}

void test('the table agrees with a model that asks every pattern', async () => {
  fc.assert(fc.property(fc.uniqueArray(pattern, { maxLength: 30 }), fc.array(name, { maxLength: 30 }), (patterns, names) => {
    const table = tableOf(...patterns)
    return table.size === patterns.length && names.every((hostname) => table.lookup(hostname)?.pattern === modelLookup(patterns, hostname))
  }), { numRuns: 1_000 })
})

void test('each of 100,000 names is found, and none beside them', async (t) => {
  const patterns = Array.from({ length: 100_000 }, (_, index) => index % 2 === 0 ? `t${index}.k8s.example.com` : `*.t${index}.k8s.example.com`)
  const table = tableOf(...patterns)
  t.equal(table.size, 100_000)
  t.ok(patterns.every((candidate) => table.lookup(candidate.replace('*', 'a.b'))?.pattern === candidate))
  t.notOk(patterns.some((candidate) => table.lookup(candidate.replace('t', 'u')) !== undefined))
})
