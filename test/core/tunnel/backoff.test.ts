import { test } from 'tap'
import { Backoff } from '../../../src/core/tunnel/backoff.ts'

void test('waits grow from a second to half a minute, anywhere below their limit', (t) => {
  const waits = (random: number): number[] => {
    const backoff = new Backoff({ random: () => random })
    return Array.from({ length: 8 }, () => backoff.failed())
  }
  t.same(waits(1), [1_000, 2_000, 4_000, 8_000, 16_000, 30_000, 30_000, 30_000])
  t.same(waits(0), Array.from({ length: 8 }, () => 0))
  t.end()
})

void test('a success begins anew, and what the other side asked for is waited in any case', (t) => {
  const backoff = new Backoff({ random: () => 0.5 })
  for (let failure = 0; failure < 10; failure++) backoff.failed()
  t.equal(backoff.failures, 10)
  backoff.succeeded()
  t.same([backoff.failures, backoff.failed(), backoff.failed(5_000)], [0, 500, 6_000])
  t.end()
})
