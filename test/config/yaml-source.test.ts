// Two parsers read configurations. `yaml` is the reference: whatever the fast one makes of a file, it makes the same.

import { isDeepStrictEqual } from 'node:util'
import fc from 'fast-check'
import { test } from 'tap'
import { stringify } from 'yaml'
import { configSchema } from '../../src/config/schema.ts'
import { parseFast, YamlSource } from '../../src/config/yaml-source.ts'

type Read = { readonly data: unknown } | { readonly error: string }

function reference(text: string): Read {
  const source = new YamlSource('x', text)
  const [problem] = source.problems()
  if (problem !== undefined) return { error: problem.message }
  const read = source.data()
  return read.kind === 'data' ? { data: read.data } : { error: read.problem.message }
}

const file = `listeners:
  - address: 0.0.0.0:6443
    defaultTenant: acme
pools:
  admin: { addresses: [10.1.0.11, 10.1.0.12] }
defaults:
  retries: { attempts: 3 }
tenants:
  - name: acme
    hostnames: [acme.k8s.example.com, "*.acme.example.com"]
    apiServer: { pool: admin, nodePort: 31443 }
  - name: 'globex'
    hostnames:
      - globex.example.com
    apiServer:
      endpoints:
        - { address: 10.2.0.5:6443, weight: 1 }
        - "[2001:db8::1]:6443"
# a comment
admin:
  address: 127.0.0.1:9443
`

/** Where parsers of YAML are known to differ, or might. */
const pieces = [
  '\n', '\r\n', '\r', '\t', ' ', '    ', ': ', ':', '- ', '? ', '[', ']', '{', '}', ',', '"', "'", '#', ' #', '|\n', '>\n', '&a ', '*a', '*"a', '&"a ', '! ', '!!str ', '!x ',
  '<<: ', '---\n', '...\n', '%YAML 1.1\n', '@', '`', '~', 'null', 'yes', '012', '0o17', '0x1F', '1_0', '1e3', '.inf', '+1', '2001-01-01', '\u0085', '\u2028', '\u00a0', '\uFEFF', '\0', '\\', '\\x41',
  '__proto__: 1\n', '~: 1\n', '1: 2\n', 'true: 1\n', '[a]: 1\n', '\ud800', 'é',
]

void test('a file with any edit, if the fast parser finds it right, is the same to the reference', async (t) => {
  const edit = fc.record({ at: fc.nat(file.length), removed: fc.nat(2), pieces: fc.array(fc.constantFrom(...pieces), { maxLength: 2 }) })
  let right = 0
  fc.assert(fc.property(fc.array(edit, { minLength: 1, maxLength: 2 }), (edits) => {
    const text = edits.reduce((before, each) => before.slice(0, each.at) + each.pieces.join('') + before.slice(each.at + each.removed), file)
    const fast = parseFast(text)
    if (fast === undefined || !configSchema.safeParse(fast.data).success) return true
    right += 1
    const read = reference(text)
    // What only the reference refuses is two anchors on one value: the data is as it says.
    return 'error' in read ? /at most one anchor/.test(read.error) : isDeepStrictEqual(fast.data, read.data)
  }), { numRuns: 3_000 })
  t.ok(right > 200, `${right} of the edited files are right`)
})

void test('any data that is written as YAML is the same to both', async (t) => {
  const scalar = fc.oneof(
    fc.constantFrom('yes', 'no', '012', '0o17', '0x1f', '1_000', '1e3', '.5', '2001-01-01', '12:30', '~', 'null', 'true', 'True', '-', '', ' x ', 'a: b', '#x', '10.0.0.0/8', '::1', '*.x', '%', '@', '`'),
    fc.string(), fc.integer(), fc.boolean(), fc.constant(null), fc.double({ noNaN: true }),
  )
  const { value } = fc.letrec((tie) => ({
    value: fc.oneof({ maxDepth: 3 }, scalar, fc.array(tie('value'), { maxLength: 4 }), fc.dictionary(fc.string({ minLength: 1 }), tie('value'), { maxKeys: 4 })),
  }))
  fc.assert(fc.property(value, fc.constantFrom('BLOCK_LITERAL', 'QUOTE_DOUBLE', 'QUOTE_SINGLE', 'PLAIN'), (data, defaultStringType) => {
    const text = stringify({ data }, { defaultStringType, aliasDuplicateObjects: false })
    const fast = parseFast(text)
    return fast === undefined || isDeepStrictEqual(reference(text), fast)
  }), { numRuns: 1_000 })
  t.pass()
})

void test('plain scalars mean the same to both', async (t) => {
  for (const text of ['yes', 'no', 'on', '012', '0o17', '0x1f', '1_000', '1e3', '.5', '2001-01-01', '12:30', '~', 'null', 'NULL', 'true', 'True', '-0', '+1', '.inf', '0b1', '10.0.0.0/8', '31443', '5s', 'a b']) {
    t.same(parseFast(`x: ${text}`), reference(`x: ${text}`), text)
  }
})

const bomb = `a: &a [x, x, x, x, x, x, x, x, x, x]\n${'bcdefgh'.split('').map((name, index) => `${name}: &${name} [${Array.from({ length: 10 }, () => `*${'abcdefg'[index]}`).join(', ')}]\n`).join('')}`

/** What YAML can say and a configuration need not: the fast parser leaves it to the reference, which refuses it. */
const refused: readonly (readonly [name: string, text: string, error: RegExp])[] = [
  ['aliases that expand beyond measure', bomb, /aliases expand to more than 20000000 values/],
  ['an alias inside of what it names', 'a: &a [*a]\n', /an alias inside of what it names/],
  ['an alias inside of what it names, by a name with a quotation mark', 'a: &"a [*"a]\n', /an alias inside of what it names/],
  ['an alias of nothing', 'a: *b\n', /alias/i],
  ['nesting beyond measure', `a: ${'['.repeat(5_000)}${']'.repeat(5_000)}\n`, /call stack/],
  ['an unknown tag', 'a: !secret x\n', /Unresolved tag: !secret/],
  ['two documents', 'a: 1\n---\nb: 1\n', /multiple documents/],
  ['a mapping on the line of its key, behind an anchor', 'a: &x b: 1\n', /Nested mappings are not allowed/],
  ['a mapping on the line of its key, behind a tag and an anchor', '- a: !  &x "b": 1\n', /Nested mappings are not allowed/],
  ['a key twice', 'a: 1\na: 2\n', /Map keys must be unique/],
]

for (const [name, text, error] of refused) {
  void test(`${name}: refused`, async (t) => {
    t.equal(parseFast(text), undefined)
    t.match(reference(text), { error })
  })
}

void test('an anchor may stand before a mapping in braces', async (t) => {
  t.match(parseFast('a: &x { b: 1 }\nc: *x\n'), { data: { c: { b: 1 } } })
})

void test('an anchor may be used by every tenant, and a file may begin with a document marker', async (t) => {
  const uses = 25_000
  t.match(parseFast(`---\nfirst: &offices [192.0.2.0/24]\nall:\n${'  - *offices\n'.repeat(uses)}`), { data: { first: ['192.0.2.0/24'], all: { length: uses } } })
})

void test('aliases that only the reference could read are few', async (t) => {
  const text = (uses: number): string => `%YAML 1.2\n---\nfirst: &offices [192.0.2.0/24]\nall:\n${'  - *offices\n'.repeat(uses)}`
  t.match(reference(text(1_000)), { data: { all: { length: 1_000 } } })
  t.match(reference(text(1_001)), { error: '1001 aliases; at most 1000 are read here' })
})
