// The map against a plain Map, and what its copies may not see of each other.

import fc from 'fast-check'
import { test } from 'tap'
import { ShardedMap, type ShardedMapDraft } from '../../src/core/sharded-map.ts'

type Operation = readonly ['set', string, number] | readonly ['delete', string] | readonly ['done']

function perform(draft: ShardedMapDraft<number>, model: Map<string, number>, [kind, key, value]: readonly [kind: 'set' | 'delete', key: string, value?: number]): void {
  if (kind === 'set' && value !== undefined) {
    draft.set(key, value)
    model.set(key, value)
  } else {
    draft.delete(key)
    model.delete(key)
  }
}

type Kept = readonly [map: ShardedMap<number>, model: ReadonlyMap<string, number>]

function tellsChanges([map, model]: Kept, [mapBefore, modelBefore]: Kept): boolean {
  const changes = [...map.changesSince(mapBefore)]
  const keys = [...new Set([...model.keys(), ...modelBefore.keys()])].filter((key) => model.get(key) !== modelBefore.get(key))
  return changes.length === keys.length && changes.every(({ key, before, after }) => before !== after && before === modelBefore.get(key) && after === model.get(key))
}

void test('any run of changes leaves what a plain Map would have, each earlier map as it was, and what has changed between any two', async () => {
  const key = fc.oneof(fc.constantFrom('a', 'b', 'c', '__proto__', 'constructor', ''), fc.string({ maxLength: 3 }))
  const operation: fc.Arbitrary<Operation> = fc.oneof(
    { weight: 4, arbitrary: fc.tuple(fc.constant('set' as const), key, fc.nat()) },
    { weight: 2, arbitrary: fc.tuple(fc.constant('delete' as const), key) },
    { weight: 1, arbitrary: fc.constant(['done'] as const) },
  )
  fc.assert(fc.property(fc.array(operation, { maxLength: 60 }), fc.array(key, { maxLength: 10 }), (operations, otherKeys) => {
    const keys = [...otherKeys, ...operations.flatMap(([kind, key]) => kind === 'done' ? [] : [key])]
    const kept: Kept[] = []
    const model = new Map<string, number>()
    let draft = new ShardedMap<number>().draft()
    for (const each of [...operations, ['done'] as const]) {
      if (each[0] === 'done') {
        const map = draft.done()
        kept.push([map, new Map(model)])
        // A draft may go on after it has given its map, and so may one of that map.
        if (kept.length % 2 === 0) draft = map.draft()
      } else perform(draft, model, each)
      if (keys.some((key) => draft.get(key) !== model.get(key))) return false
    }
    return kept.every(([map, then]) => map.size === then.size && keys.every((key) => map.get(key) === then.get(key)))
      && kept.every((after) => kept.every((before) => tellsChanges(after, before)))
  }), { numRuns: 500 })
})

void test('of 100,000 keys each is found, none beside them, and most survive a thousand changes', async (t) => {
  const draft = new ShardedMap<number>().draft()
  for (let index = 0; index < 100_000; index++) draft.set(`tenant-${index}`, index)
  const before = draft.done()
  t.equal(before.size, 100_000)
  const next = before.draft()
  for (let index = 0; index < 100_000; index += 100) next.delete(`tenant-${index}`)
  const after = next.done()
  t.equal(after.size, 99_000)
  for (let index = 0; index < 100_000; index++) {
    if (before.get(`tenant-${index}`) !== index || after.get(`tenant-${index}`) !== (index % 100 === 0 ? undefined : index)) t.fail(`tenant-${index}`)
  }
  t.equal(before.get('tenant-100000'), undefined)
  t.equal([...after.changesSince(before)].length, 1_000)
})
