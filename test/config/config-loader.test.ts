// A file that is loaded again: whatever was edited, the result is that of the whole load, mistakes included.

import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { isDeepStrictEqual } from 'node:util'
import fc from 'fast-check'
import { test } from 'tap'
import { ConfigError } from '../../src/config/config-error.ts'
import { ConfigLoader, type LoadedConfig } from '../../src/config/config-loader.ts'
import { parseConfig } from '../../src/config/load.ts'
import { loadPieces } from '../../src/config/pieces.ts'
import { ShardedMap } from '../../src/core/sharded-map.ts'

type Outcome = { readonly config: unknown } | { readonly problems: unknown }

function outcome(parse: () => unknown): Outcome {
  try {
    return { config: parse() }
  } catch (error) {
    if (error instanceof ConfigError) return { problems: error.problems }
    throw error
  }
}

const file = 'sluice.yaml'

function whole(text: string, env: Readonly<Record<string, string>>): Outcome {
  return outcome(() => {
    const { tenants, ...settings } = parseConfig({ file, env, text })
    return { settings, tenants: tenants.toSorted(byName), hostnameCount: tenants.flatMap(({ hostnames }) => hostnames).length }
  })
}

function again(loader: ConfigLoader, text: string): Outcome {
  return outcome(() => contents(loader.parse(Buffer.from(text))))
}

function contents({ settings, tenants, hostnameCount }: LoadedConfig): unknown {
  const changes = Array.from(tenants.changesSince(new ShardedMap()))
  return { settings, hostnameCount, tenants: changes.flatMap(({ after }) => after ?? []).toSorted(byName) }
}

function byName(left: { readonly name: string }, right: { readonly name: string }): number {
  return left.name < right.name ? -1 : 1
}

const indented = `listeners:
  - { address: 127.0.0.1:6443, defaultTenant: acme }
pools:
  admin: { addresses: [10.1.0.11, 10.1.0.12] }
defaults:
  timeouts: { connect: 2s }
tenants: # hosted

  # the first one
  - name: acme
    hostnames: [acme.example.com, "*.acme.example.com"]
    apiServer: { pool: admin, nodePort: 31443 }

  - name: globex
    hostnames:
      - globex.example.com
      - "*.globex.example.com"
    apiServer:
      endpoints:
        - 10.2.0.5:6443
        - { address: 10.2.0.6:6443, weight: 0 }
  - { name: initech, hostnames: [initech.example.com], apiServer: { pool: admin, nodePort: 31445 } }
# the last one
  - name: 'hooli'
    hostnames: ["hooli.example.com"]
    apiServer: { endpoints: [10.2.0.7:6443] }
    timeouts: { idle: 2h }
admin:
  address: 127.0.0.1:9443
`
const unindented = `tenants:
- name: acme
  hostnames: [acme.example.com]
  apiServer: { pool: admin, nodePort: 31443 }
- name: globex
  hostnames:
  - globex.example.com
  apiServer: { pool: admin, nodePort: 31444 }
pools: { admin: { addresses: [10.1.0.11] } }
listeners:
- address: 127.0.0.1:6443
`
const lastInFile = unindented.replace(/^pools[^]*/m, '').replace(/^/, 'pools: { admin: { addresses: [10.1.0.11] } }\nlisteners: [{ address: 127.0.0.1:6443 }]\n').trimEnd()
const bases = [indented, unindented, lastInFile]

/** Where parts of a file might mean something else alone. */
const insertions = [
  '\n', '\r\n', '\t', ' ', '  ', ': ', '- ', '\n- ', '\n  - ', '\n  -\n', '\n-\n', '[', ']', '{', '}', ',', '"', "'", '#', ' # ', '\n# x\n', '|\n', '>\n', '|+\n', '&a ', '*a', '! ', '!!str ',
  '---\n', '\n---\n', '\n...\n', '\n%YAML 1.2\n', '? ', '<<: ', 'tenants:\n', '\ntenants:\n', '\ntenants:\n  - name: x\n', '\nadmin: {}\n', 'x', '1', '.', 'null', '\u2028', '\uFEFF', '\0', 'sluice was here',
  '  - sluice was here\n', '  - name: umbrella\n    hostnames: [umbrella.example.com]\n    apiServer: { endpoints: [10.2.0.9:6443] }\n', '- { name: stark, hostnames: [stark.example.com], apiServer: { pool: admin, nodePort: 1 } }\n',
]

type Edit =
  | { readonly kind: 'characters'; readonly at: number; readonly removed: number; readonly inserted: readonly string[] }
  | { readonly kind: 'lines'; readonly from: number; readonly count: number; readonly to: number; readonly copy: boolean }
  | { readonly kind: 'value'; readonly which: number; readonly value: number }

const edits: fc.Arbitrary<Edit> = fc.oneof(
  fc.record({ kind: fc.constant('characters' as const), at: fc.nat(1_000), removed: fc.nat(2), inserted: fc.array(fc.constantFrom(...insertions), { maxLength: 2 }) }),
  fc.record({ kind: fc.constant('lines' as const), from: fc.nat(30), count: fc.nat(6), to: fc.nat(30), copy: fc.boolean() }),
  fc.record({ kind: fc.constant('value' as const), which: fc.nat(20), value: fc.integer({ min: 1, max: 9 }) }),
)

function edited(text: string, edit: Edit): string {
  switch (edit.kind) {
    case 'characters': {
      const at = edit.at % (text.length + 1)
      return text.slice(0, at) + edit.inserted.join('') + text.slice(at + edit.removed)
    }
    case 'lines': {
      const lines = text.split('\n')
      const moved = edit.copy ? lines.slice(edit.from, edit.from + edit.count) : lines.splice(edit.from, edit.count)
      return lines.toSpliced(edit.to, 0, ...moved).join('\n')
    }
    case 'value': {
      const digits = [...text.matchAll(/\d+/g)]
      const at = digits[edit.which % Math.max(1, digits.length)]?.index ?? 0
      return text.slice(0, at) + String(edit.value) + text.slice(at + 1)
    }
    default: return edit satisfies never
  }
}

void test('any run of edits, each loaded in pieces where it can be, gives what the whole load gives', async (t) => {
  let inPieces = 0
  fc.assert(fc.property(fc.constantFrom(...bases), fc.array(fc.tuple(edits, fc.boolean()), { minLength: 1, maxLength: 6 }), fc.constantFrom({}, { SLUICE_DEFAULTS_TIMEOUTS_IDLE: '3h' }), (base, run, env) => {
    const loader = new ConfigLoader({ file, env })
    let text = base
    if (!isDeepStrictEqual(again(loader, text), whole(text, env))) return false
    return run.every(([edit, undone]) => {
      const next = edited(text, edit)
      if (loadPieces({ bytes: Buffer.from(next), env }) !== undefined) inPieces += 1
      if (!isDeepStrictEqual(again(loader, next), whole(next, env))) return false
      if (!undone) text = next
      return true
    })
  }), { numRuns: 400 })
  t.ok(inPieces > 200, `${inPieces} files were loaded in pieces`)
})

void test('the files that people write are loaded in pieces', async (t) => {
  for (const text of bases) t.ok(loadPieces({ bytes: Buffer.from(text), env: {} }))
})

const unusual: Readonly<Record<string, string>> = {
  'an anchor in the list': indented.replace('hostnames: [acme', 'hostnames: &names [acme'),
  'an alias in the list': indented.replace('10.1.0.12] }', '10.1.0.12] }\nx: &a acme\n').replace('name: acme', 'name: *a'),
  'a hyphen’s line inside a quoted text': indented.replace("'hooli'", "'hooli\n  - name: x'"),
  'a list in flow style': 'listeners: [{ address: 127.0.0.1:6443 }]\ntenants: [\n  - name: acme\n]\n',
  'a file in flow style': '{ listeners: [{ address: 127.0.0.1:6443 }],\ntenants:\n  - name: acme\n}\n',
  'a list inside a quoted text': 'x: "\ntenants:\n  - name: acme\ny"\n',
  'two lists': `${indented}tenants:\n  - name: x\n`,
  'two documents': `${indented}---\nx: 1\n`,
  'lines that end with CR LF': indented.replaceAll('\n', '\r\n'),
  'no tenants': 'listeners: [{ address: 127.0.0.1:6443 }]\ntenants: []\n',
  'a name twice': indented.replace('name: globex', 'name: acme'),
  'a hostname twice': indented.replace('- globex.example.com', '- acme.example.com'),
  'an item twice': indented.replace(/(  - \{ name: initech.*\n)/, '$1$1'),
  'no such pool': indented.replace('admin: { addresses', 'admins: { addresses'),
  'no such default tenant': indented.replace('name: acme', 'name: acme2'),
}

for (const [name, text] of Object.entries(unusual)) {
  void test(`${name} is for the whole load, also behind a file in pieces`, async (t) => {
    const loader = new ConfigLoader({ file, env: {} })
    loader.parse(Buffer.from(indented))
    t.equal(loadPieces({ bytes: Buffer.from(text), env: {} }), undefined)
    t.same(again(loader, text), whole(text, {}))
    t.same(again(loader, indented), whole(indented, {}))
  })
}

void test('tenants whose text has not changed are not read again, wherever they stand', async (t) => {
  const names = Array.from({ length: 1_000 }, (_, index) => `t${index}`)
  const item = (name: string, attempts = 3): string => `  - name: ${name}\n    hostnames: [${name}.example.com]\n    apiServer: { endpoints: [10.2.0.5:6443] }\n    retries: { attempts: ${attempts} }\n`
  const text = (items: readonly string[]): string => `listeners: [{ address: 127.0.0.1:6443 }]\ntenants:\n${items.join('')}`
  const all = names.map((name) => item(name))
  const changes: Readonly<Record<string, { readonly items: readonly string[]; readonly changed: number }>> = {
    'one changed': { items: all.with(500, item('t500', 1)), changed: 1 },
    'one new in front': { items: [item('new'), ...all], changed: 1 },
    'one gone': { items: all.toSpliced(3, 1), changed: 1 },
    'a hundred changed together': { items: [...names.slice(0, 100).map((name) => item(name, 1)), ...all.slice(100)], changed: 100 },
    'a hundred gone together': { items: all.toSpliced(300, 100), changed: 100 },
    'a hundred new together': { items: all.toSpliced(300, 0, ...names.slice(0, 100).map((name) => item(`new-${name}`))), changed: 100 },
  }
  for (const [what, { items, changed }] of Object.entries(changes)) {
    const loader = new ConfigLoader({ file, env: {} })
    const before = loader.parse(Buffer.from(text(all)))
    const after = loader.parse(Buffer.from(text(items)))
    const read = [...after.tenants.changesSince(before.tenants)].length
    t.ok(read >= changed && read < changed + 10, `${what}: ${read}`)
  }
  const loader = new ConfigLoader({ file, env: {} })
  const before = loader.parse(Buffer.from(text(all)))
  const around = loader.parse(Buffer.from(`${text(all)}admin: { address: 127.0.0.1:1 }\n`))
  t.equal([...around.tenants.changesSince(before.tenants)].length, 0, 'around the list')
  t.equal(around.settings.admin.address.port, 1)
})

void test('a file that grows, shrinks, goes wrong and comes back is what it is each time, in memory that is used again', async (t) => {
  const path = join(t.testdir({ [file]: '' }), file)
  const loader = new ConfigLoader({ file: path, env: {} })
  const comment = `# ${'x'.repeat(3_000_000)}\n`
  const moved = indented.replace('nodePort: 31443', 'nodePort: 31446')
  for (const text of [indented, moved, comment + indented, 'listeners: {', moved + comment, indented, moved.replaceAll('globex', 'umbrella'), 'x: 1\n', unindented, moved, lastInFile, comment + comment + moved, indented]) {
    writeFileSync(path, text)
    t.same(outcome(() => contents(loader.load())), whole(text, {}))
  }
})
