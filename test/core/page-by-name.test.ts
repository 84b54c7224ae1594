// Pages of a table that changes meanwhile: in order, and whoever is there through all of them is on one.

import fc from 'fast-check'
import { test } from 'tap'
import { pageByName } from '../../src/core/page-by-name.ts'

function allPages(names: readonly string[], limit: number): string[] {
  const read: string[] = []
  for (let after: string | undefined = ''; after !== undefined;) {
    const page: ReturnType<typeof pageByName> = pageByName(names, { limit, after })
    if (page.names.length > limit) throw new Error('a page is too long')
    read.push(...page.names)
    after = page.next
  }
  return read
}

void test('all names come once, in order, however many to a page', (t) => {
  fc.assert(fc.property(fc.uniqueArray(fc.string({ minLength: 1 })), fc.integer({ min: 1, max: 5 }), (names, limit) => {
    const sorted = names.toSorted((left, right) => left < right ? -1 : 1)
    return JSON.stringify(allPages(names, limit)) === JSON.stringify(sorted)
  }))
  t.same(pageByName(['a', 'b'], { limit: 2 }), { names: ['a', 'b'] })
  t.same(pageByName(['b', 'c', 'a'], { limit: 2 }), { names: ['a', 'b'], next: 'b' })
  t.same(pageByName([], { limit: 2, after: 'x' }), { names: [] })
  t.end()
})
