// Where items begin and end, and which of them were there before: whatever stood in the file, they are cut at the same places.

import fc from 'fast-check'
import { test } from 'tap'
import { itemAt, noSource, splitTenants, type TenantItems } from '../../src/config/tenant-items.ts'

const items = ['  - name: a\n', '  - name: b\n', '  - name: ü\n    hostnames: [x]\n', '  - name: c\n\n']
const others = ['  - name: c', '    more: 1\n', '# comment\n', '\n', '  - ', '- name: d\n', 'admin: {}\n', '  -\n', ' ']
const text = fc.array(fc.oneof({ weight: 15, arbitrary: fc.constantFrom(...items) }, { weight: 1, arbitrary: fc.constantFrom(...others) }), { maxLength: 40, size: 'max' })

function list(entries: readonly string[]): Buffer<ArrayBuffer> {
  return Buffer.from(`listeners: []\ntenants: # all\n\n  - name: first\n${entries.join('')}`)
}

function textsOf(found: TenantItems): readonly string[] {
  return Array.from(found.sources, (_, index) => itemAt(found, index))
}

void test('items are cut at the same places whatever stood in the file before, and are the ones that they seem to be', async (t) => {
  let known = 0
  fc.assert(fc.property(text, text, text, text, (before, removed, added, after) => {
    const previous = splitTenants(list([...before, ...removed, ...after]))
    const bytes = list([...before, ...added, ...after])
    const [alone, behind] = [splitTenants(bytes), splitTenants(bytes, previous)]
    if (alone === undefined || behind === undefined || previous === undefined) return false
    const [texts, earlier] = [textsOf(alone), textsOf(previous)]
    known += behind.sources.filter((source) => source !== noSource).length
    return Buffer.from(alone.starts.buffer).equals(Buffer.from(behind.starts.buffer))
      && behind.sources.every((source, index) => source === noSource || earlier[source] === texts[index])
      && alone.sources.every((source) => source === noSource)
  }), { numRuns: 2_000 })
  t.ok(known > 10_000, `${known} items were known`)
})

void test('of many items those that have changed are the new ones, wherever they stand', async (t) => {
  const item = (index: number, value: number): string => `  - { name: t${index}, value: ${value} }\n`
  for (const step of [1, 2, 7, 8, 9, 64, 100, 255, 256, 257, 1_000]) {
    const previous = splitTenants(list(Array.from({ length: 3_000 }, (_, index) => item(index, 0))))
    const next = splitTenants(list(Array.from({ length: 3_000 }, (_, index) => item(index, index % step === step - 1 ? 12_345 : 0))), previous)
    t.equal(next?.sources.length, 3_001)
    t.equal(next?.sources.filter((source) => source === noSource).length, Math.floor(3_000 / step), `each ${step}th`)
  }
})

const openings: Readonly<Record<string, string | undefined>> = {
  'tenants:\n  - name: a\n': '  - name: a\n',
  'x: 1\ntenants:   # all\n\n   \n # x\n- name: a\n': '- name: a\n',
  'x: "tenants:\n  - a"\ntenants:\n - name: a\n': ' - name: a\n',
  'tenants:\n  x: 1\ntenants:\n  - name: b\n': '  - name: b\n',
  'tenants:\n  - name: a': '  - name: a',
  'tenants: #': undefined,
  'tenants:\n\n': undefined,
  'tenants:\n  -name: a\n': undefined,
  'tenants: []\n  - name: a\n': undefined,
  'xtenants:\n  - name: a\n': undefined,
  '': undefined,
}

void test('a list begins behind its key, blank lines and comments', async (t) => {
  for (const [opening, first] of Object.entries(openings)) {
    const found = splitTenants(Buffer.from(opening))
    t.equal(found === undefined ? undefined : itemAt(found, 0), first, JSON.stringify(opening))
  }
})
