import { test } from 'tap'
import { initialWindowBytes, ReceiveWindow, WindowBudget } from '../../../src/core/mux/window.ts'

const limitBytesMax = 16 * 1024 * 1024
const halfBytes = initialWindowBytes / 2

function windowOf(budget = new WindowBudget()): ReceiveWindow {
  return new ReceiveWindow({ budget, limitBytesMax, nowMs: 0 })
}

/** Takes what a peer sends that sends all it may, as fast as `bytesPerMs` and the round trip let it. @returns the window at the end */
function flow({ bytesPerMs, rttMs, forMs }: { readonly bytesPerMs: number; readonly rttMs: number; readonly forMs: number }): number {
  const window = windowOf()
  const credits: { readonly atMs: number; readonly bytes: number }[] = [{ atMs: 0, bytes: initialWindowBytes }]
  let sendableBytes = 0
  for (let nowMs = 1; nowMs <= forMs; nowMs++) {
    while (credits[0] !== undefined && credits[0].atMs <= nowMs) sendableBytes += credits.shift()?.bytes ?? 0
    const bytes = Math.min(sendableBytes, bytesPerMs)
    sendableBytes -= bytes
    window.received(bytes)
    credits.push({ atMs: nowMs + rttMs, bytes: window.consumed(bytes, { nowMs, rttMs }) })
  }
  return window.limitBytes
}

void test('a window grows to what comes in four round trips and 3 ms', (t) => {
  for (const [bytesPerMs, rttMs, least, most] of [
    [300_000, 1, 2_000_000, 2_100_000],
    [100_000, 1, 690_000, 700_000],
    [20_000, 1, initialWindowBytes, initialWindowBytes],
    [40_000, 80, 12_700_000, 13_000_000],
    [300_000, 80, limitBytesMax, limitBytesMax],
  ] as const) {
    const bytes = flow({ bytesPerMs, rttMs, forMs: 5_000 })
    t.ok(bytes >= least && bytes <= most, `${bytesPerMs / 1_000} MB/s, ${rttMs} ms: ${bytes}`)
  }
  t.end()
})

void test('on a long path a window doubles each round trip', (t) => {
  t.ok(flow({ bytesPerMs: 300_000, rttMs: 80, forMs: 600 }) > 8 * 1024 * 1024)
  t.end()
})

void test('what is taken at once after a pause says nothing of the path', (t) => {
  const window = windowOf()
  for (let nowMs = 1_000; nowMs < 60_000; nowMs += 1_000) {
    for (const later of [0, 0, 1, 1]) {
      window.received(halfBytes)
      window.consumed(halfBytes, { nowMs: nowMs + later, rttMs: 18 })
    }
  }
  t.equal(window.limitBytes, initialWindowBytes)
  t.end()
})

void test('a window stays as it is while the round trip is not known', (t) => {
  const window = windowOf()
  for (let nowMs = 0; nowMs < 1_000; nowMs++) window.consumed(halfBytes, { nowMs, rttMs: undefined })
  t.equal(window.limitBytes, initialWindowBytes)
  t.end()
})

void test('its growth is the budget’s, and goes back', (t) => {
  const budget = new WindowBudget({ limitBytes: 100_000 })
  const poor = windowOf(budget)
  poor.consumed(halfBytes, { nowMs: 50, rttMs: 200 })
  t.same([poor.limitBytes, budget.refusals], [initialWindowBytes, 1])
  const rich = windowOf(new WindowBudget())
  t.ok(rich.consumed(halfBytes, { nowMs: 50, rttMs: 200 }) > halfBytes)
  rich.close()
  t.equal(rich.limitBytes, initialWindowBytes)
  t.end()
})
