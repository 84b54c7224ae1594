import { test } from 'tap'
import { mostInASecond } from '../../../bench/tunnel/sessions/rate.ts'

const cases: readonly (readonly [times: readonly number[], most: number])[] = [
  [[], 0],
  [[5], 1],
  [[0, 1_000, 2_000], 1],
  [[2_000, 1_500, 900, 1_000, 1_899], 4],
  [[0, 999, 1_000, 1_001], 3],
]

void test('the most in a second is of any second, not of whole ones', async (t) => {
  for (const [times, most] of cases) t.equal(mostInASecond(times), most, times.join(' '))
})
