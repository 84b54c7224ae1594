import { test } from 'tap'
import { completedBy, hasFin, isCompleted, lostReason, relayDeadlineMs, relayDeadlineReason, withFin, withFinished, type Side } from '../../src/core/relayed.ts'

const sides = ['downstream', 'upstream'] as const
const other = { downstream: 'upstream', upstream: 'downstream' } as const

type Event = readonly ['fin' | 'finished', Side]
const events = sides.flatMap((side): Event[] => [['fin', side], ['finished', side]])

function permutations<Item>(items: readonly Item[]): Item[][] {
  if (items.length === 0) return [[]]
  return items.flatMap((item, index) => permutations(items.toSpliced(index, 1)).map((rest) => [item].concat(rest)))
}

function after(bits: number, [kind, side]: Event): number {
  return kind === 'fin' ? withFin(bits, side) : withFinished(bits, side)
}

void test('it is completed once both FINs have come and both have been passed on, in whatever order; not before', async (t) => {
  for (const order of permutations(events)) {
    const [fins, finished] = [new Set<Side>(), new Set<Side>()]
    let bits = 0
    // Once more in the same order: what came too early to mean anything comes again, and what came twice changes nothing.
    for (const event of [...order, ...order]) {
      const [kind, side] = event
      bits = after(bits, event)
      if (kind === 'fin') fins.add(side)
      // A FIN that has not come can't have been passed on.
      else if (fins.has(other[side])) finished.add(side)
      const name = `${JSON.stringify(order)} at ${kind} ${side}`
      t.equal(isCompleted(bits), fins.size === 2 && finished.size === 2, name)
      for (const each of sides) t.equal(hasFin(bits, each), fins.has(each), name)
    }
    t.ok(isCompleted(bits))
    t.equal(completedBy(bits), order.find(([kind]) => kind === 'fin')?.[1])
  }
})

void test('a peer that is lost gives its side’s reason', async (t) => {
  for (const side of sides) {
    for (const how of ['reset', 'unresponsive'] as const) t.equal(lostReason(side, how), `${side}-${how}`)
  }
})

void test('the earliest deadline ends it: idle, half-closed, or the drain’s', async (t) => {
  const limits = { idleTimeoutMs: 1_000, halfClosedTimeoutMs: 100 }
  const halfClosed = { downstream: withFin(0, 'downstream'), upstream: withFin(0, 'upstream'), both: withFin(withFin(0, 'upstream'), 'downstream') }
  for (const { title, bits = 0, activityMs = 10_000, drainAtMs = Infinity, atMs, reason, ...overrides } of [
    { title: 'open', atMs: 11_000, reason: 'idle-timeout' },
    { title: 'FIN from the client', bits: halfClosed.downstream, atMs: 10_100, reason: 'half-closed-timeout' },
    { title: 'FIN from the API server', bits: halfClosed.upstream, atMs: 10_100, reason: 'half-closed-timeout' },
    { title: 'both FINs, one not passed on yet', bits: halfClosed.both, atMs: 10_100, reason: 'half-closed-timeout' },
    { title: 'half-closed, where idle is the shorter', bits: halfClosed.upstream, halfClosedTimeoutMs: 5_000, atMs: 11_000, reason: 'half-closed-timeout' },
    { title: 'draining', drainAtMs: 10_700, atMs: 10_700, reason: 'drain-timeout' },
    { title: 'draining, and idle before that', drainAtMs: 11_400, atMs: 11_000, reason: 'idle-timeout' },
    { title: 'draining, half-closed before that', bits: halfClosed.downstream, drainAtMs: 10_500, atMs: 10_100, reason: 'half-closed-timeout' },
    { title: 'draining and idle at the same moment', drainAtMs: 11_000, atMs: 11_000, reason: 'drain-timeout' },
    { title: 'activity does not move the drain’s', activityMs: 10_699, drainAtMs: 10_700, atMs: 10_700, reason: 'drain-timeout' },
  ] as const) {
    const all = { ...limits, ...overrides }
    t.equal(relayDeadlineMs(bits, activityMs, drainAtMs, all), atMs, title)
    t.equal(relayDeadlineReason(bits, activityMs, drainAtMs, all), reason, title)
  }
})
