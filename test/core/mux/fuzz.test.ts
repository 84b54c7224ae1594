import { test } from 'tap'
import { fuzz } from './fuzz.ts'

void test('damaged frames end a session for a reason or not at all, and every window gives back what it grew by', (t) => {
  const { sessions, ends, budgetLeftBytes } = fuzz(50_000, 7)
  t.ok(sessions > 10)
  t.equal(budgetLeftBytes, 0)
  t.equal(Object.values(ends).reduce((sum, each) => sum + each, 0), sessions)
  t.end()
})
