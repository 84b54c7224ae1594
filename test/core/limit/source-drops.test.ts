// Who is dropped, and for how long, with a clock of the test's own.

import fc from 'fast-check'
import { test } from 'tap'
import type { SourceDropRule } from '../../../src/core/limit/limits.ts'
import { paceOf, takePaced } from '../../../src/core/limit/shared-pace.ts'
import { banMsMax, droppedSourcesMax, periodMsMax, periodMsMin, sourceDropOf, SourceDrops, type SourceDrop } from '../../../src/core/limit/source-drops.ts'
import { SourceKey } from '../../../src/core/net/source-key.ts'
import { listener, snapshotOf } from '../../support/config.ts'

const rule: SourceDropRule = { pace: paceOf({ perSecond: 20, burst: 20 }), bans: false }
const of = (address: string): SourceKey => new SourceKey().setText(address)
const numbered = (index: number): SourceKey => of(`10.${index >> 16 & 255}.${index >> 8 & 255}.${index & 255}`)

/** As many refusals as it takes, at one time. */
function refuse(drops: SourceDrops, source: SourceKey, nowMs: number, its = rule): SourceDrop | 'full' {
  for (;;) {
    const drop = drops.refused(source, its, nowMs)
    if (drop !== undefined) return drop
  }
}

void test('a few refusals drop nobody, many within a second do, and as many over a longer time do not', async (t) => {
  const drops = new SourceDrops()
  for (let nowMs = 0; nowMs < 20_000; nowMs += 70) t.equal(drops.refused(of('192.0.2.1'), rule, nowMs), undefined)
  t.same(drops.sources(), [])
  const drop = refuse(drops, of('192.0.2.1'), 30_000)
  t.match(drop, { refusals: 16, isFirst: true })
  t.match(drops.sources(), [{ isIpv6: false, low: of('192.0.2.1').low }])
})

void test('a source is an IPv4 address, or a /64', async (t) => {
  const drops = new SourceDrops()
  for (let index = 0; index < 15; index++) {
    for (const address of [`2001:db8::${index}`, '192.0.2.1', '192.0.2.2', `2001:db8:0:${1 + index}::1`]) t.equal(drops.refused(of(address), rule, 5_000), undefined)
  }
  t.match(drops.refused(of('2001:db8::ffff'), rule, 5_000), { refusals: 16 })
  t.equal(drops.refused(of('2001:db8:0:1::1'), rule, 5_000), undefined)
  t.equal(drops.sources().length, 1)
})

void test('a period ends by itself; who goes on is dropped again after fewer refusals, and who has rested is a stranger', async (t) => {
  const drops = new SourceDrops()
  const source = of('192.0.2.1')
  const first = refuse(drops, source, 1_000)
  const endMs = drops.nextEndMs
  t.match(first, { periodMs: endMs - 1_000 })
  t.equal(drops.letGo(endMs - 1), false)
  t.equal(drops.refused(source, rule, endMs - 1), undefined, 'one that was in the queue')
  t.ok(drops.letGo(endMs))
  t.same(drops.sources(), [])
  t.equal(drops.nextEndMs, Infinity)
  t.match(refuse(drops, source, endMs), { refusals: 4, isFirst: false })
  t.match(refuse(drops, source, drops.nextEndMs + 10_001), { refusals: 16, isFirst: true })
})

void test('so many are dropped at one time, the next one is refused as ever until one of them is let go', async (t) => {
  const drops = new SourceDrops()
  for (let index = 0; index < droppedSourcesMax; index++) t.not(refuse(drops, numbered(index), 1_000), 'full')
  t.equal(refuse(drops, numbered(droppedSourcesMax), 1_000), 'full')
  t.equal(drops.sources().length, droppedSourcesMax)
  t.not(refuse(drops, numbered(droppedSourcesMax), drops.nextEndMs), 'full')
  t.ok(drops.sources().length <= droppedSourcesMax)
})

void test('those that begin together do not come back together', async (t) => {
  const drops = new SourceDrops()
  const periodsMs = Array.from({ length: 50 }, (_, index) => {
    const drop = refuse(drops, numbered(index), 1_000)
    return drop === 'full' ? 0 : drop.periodMs
  })
  t.ok(periodsMs.every((periodMs) => periodMs >= 500 && periodMs <= 1_000), 'a burst comes back in a second')
  for (let fromMs = 500; fromMs < 1_000; fromMs += 100) t.ok(periodsMs.filter((periodMs) => periodMs >= fromMs && periodMs < fromMs + 100).length < 25)
})

for (const [what, rate, minMs, maxMs] of [
  ['a burst of seconds', { perSecond: 20, burst: 1_000 }, periodMsMax, periodMsMax],
  ['a burst of a moment', { perSecond: 1_000, burst: 1 }, periodMsMin, periodMsMin],
  ['a second’s burst', { perSecond: 200, burst: 200 }, 500, 1_000],
] as const) {
  void test(`${what} makes a period of ${minMs} to ${maxMs} ms`, async (t) => {
    const drop = refuse(new SourceDrops(), of('192.0.2.1'), 1_000, { pace: paceOf(rate), bans: false })
    if (drop === 'full') throw new Error('unreachable')
    t.ok(drop.periodMs >= minMs && drop.periodMs <= maxMs, String(drop.periodMs))
  })
}

void test('a flood of new sources takes no memory, and nobody is dropped who is not over his rate', async (t) => {
  const drops = new SourceDrops()
  t.ok(Array.from({ length: 20_000 }, (_, index) => drops.refused(numbered(index), rule, 1_000)).every((drop) => drop === undefined))
  t.same(drops.sources(), [])
})

/** What comes to a listener: how long after the one before it, and from which of some sources. */
const arrivals = fc.array(fc.record({ afterMs: fc.integer({ min: 0, max: 40 }), source: fc.integer({ min: 0, max: 3 }) }), { minLength: 100, maxLength: 3_000 })

void test('whoever comes, no source that keeps to its rate is dropped, nobody is for longer than a period, and then he is let in', async () => {
  fc.assert(fc.property(arrivals, fc.record({ perSecond: fc.integer({ min: 1, max: 50 }), burst: fc.integer({ min: 1, max: 20 }) }), (all, rate) => {
    const drops = new SourceDrops()
    const its = paceOf(rate)
    const due = new BigInt64Array(5)
    const since = new Map<number, number>()
    const modest = 4
    let nowMs = 1_000
    let modestMs = nowMs
    const arrive = (index: number): boolean => {
      drops.letGo(nowMs)
      const key = numbered(index)
      const isDropped = drops.sources().some(({ low }) => low === key.low)
      if (isDropped) return nowMs - (since.get(index) ?? 0) < periodMsMax
      if (takePaced({ cells: due, index }, its, BigInt(Math.round(nowMs * 1e6)))) return true
      if (drops.refused(key, { pace: its, bans: false }, nowMs) !== undefined) since.set(index, nowMs)
      return index !== modest
    }
    const kept = all.every(({ afterMs, source }) => {
      nowMs += afterMs
      if (nowMs - modestMs >= 1_001 / rate.perSecond) {
        modestMs = nowMs
        if (!arrive(modest)) return false
      }
      return arrive(source)
    })
    drops.letGo(nowMs + periodMsMax)
    return kept && drops.sources().length === 0
  }), { numRuns: 50 })
})

void test('a source that comes five times too fast has nearly its rate over time, and a burst of less than a period less', async (t) => {
  const letIn = (perSecond: number, burst: number): number => {
    const drops = new SourceDrops()
    const its = paceOf({ perSecond, burst })
    const cell = { cells: new BigInt64Array(1), index: 0 }
    let count = 0
    let answers = 0
    for (let nowMs = 1_000; nowMs < 121_000; nowMs += 200 / perSecond) {
      drops.letGo(nowMs)
      if (drops.sources().length > 0) continue
      answers += 1
      if (takePaced(cell, its, BigInt(Math.round(nowMs * 1e6)))) count += 1
      else drops.refused(of('192.0.2.1'), { pace: its, bans: false }, nowMs)
    }
    t.ok(answers < count + 120 * 16, 'and few refusals')
    return count / 120
  }
  for (const [perSecond, burst] of [[20, 20], [200, 200], [200, 1_000]] as const) {
    const rate = letIn(perSecond, burst)
    t.ok(rate > 0.9 * perSecond && rate < 1.1 * perSecond, `${rate} of ${perSecond}`)
  }
  t.ok(letIn(200, 1) < 100)
})

void test('who is banned is dropped twice as long each time, up to a minute, and for as short as ever once he has rested', async (t) => {
  const drops = new SourceDrops()
  const bans = { ...rule, bans: true }
  const source = of('192.0.2.1')
  let nowMs = 1_000
  for (let times = 1; times <= 300; times++) {
    const drop = refuse(drops, source, nowMs, bans)
    if (drop === 'full') throw new Error('unreachable')
    t.ok(drop.periodMs >= Math.min(banMsMax, 500 * 2 ** (times - 1)) && drop.periodMs <= Math.min(banMsMax, 1_000 * 2 ** (times - 1)), String(drop.periodMs))
    nowMs += drop.periodMs
  }
  const drop = refuse(drops, source, nowMs + 10_001, bans)
  t.match(drop, { isFirst: true })
  t.ok(drop !== 'full' && drop.periodMs <= 1_000)
})

void test('sources are dropped at a listener that says so, with a rate for them, unless a PROXY header tells of them', async (t) => {
  const ruleOf = (options: Parameters<typeof listener>[0]): SourceDropRule | undefined => {
    const [policy] = [...snapshotOf({ tenants: [], listeners: [listener(options)] }).listeners.values()]
    return policy === undefined ? undefined : sourceDropOf(policy)
  }
  const sourceRate = { perSecond: 20, burst: 20 }
  t.equal(ruleOf({ limits: { sourceRate } }), undefined)
  t.same(ruleOf({ limits: { sourceRate, sourceExcess: 'drop' } }), rule)
  t.same(ruleOf({ limits: { sourceRate, sourceExcess: 'ban' } }), { ...rule, bans: true })
  t.equal(ruleOf({ limits: { sourceRate, sourceExcess: 'reset' } }), undefined)
  t.equal(ruleOf({ limits: { sourceRate, sourceExcess: 'drop' }, proxyProtocol: { trustedSources: ['127.0.0.0/8'] } }), undefined)
  t.equal(ruleOf({ limits: { connectionsMax: 5 } }), undefined)
  t.equal(ruleOf({}), undefined)
})

void test('where the kernel takes fewer, no more are dropped as long as any is, and then as many as ever', async (t) => {
  for (const max of [2, 0]) {
    const drops = new SourceDrops()
    for (let index = 0; index < 5; index++) refuse(drops, numbered(index), 0)
    drops.limit(max)
    t.equal(drops.sources().length, max)
    if (max > 0) t.equal(refuse(drops, numbered(9), 0), 'full')
    drops.letGo(10_000)
    for (let index = 20; index < 25; index++) t.not(refuse(drops, numbered(index), 20_000), 'full')
    t.equal(drops.sources().length, 5)
  }
})
