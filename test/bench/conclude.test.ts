import { test } from 'tap'
import { conclude, type Edge, type Readings } from '../../bench/conclude.ts'
import type { BackendCounters } from '../../bench/load/backend-protocol.ts'
import type { LoadSpec, LoadTally } from '../../bench/load/load.ts'
import { createLatencyHistogram } from '../../bench/load/tally.ts'

const nothing: BackendCounters = { atMs: 0, cpuMs: 0, connections: 0, open: 0, receivedBytes: 0, sentBytes: 0 }

function tally(rest: Partial<LoadTally> = {}): LoadTally {
  return {
    operations: 0, windowMs: 1000, cpuMs: 100, latency: createLatencyHistogram(), sendDelay: createLatencyHistogram(),
    opened: 2, sentBytes: 300, receivedBytes: 300, failures: 0, ...rest,
  }
}

function edge(atMs: number, rest: Partial<Edge> = {}): Edge {
  return { atMs, relayCpuSeconds: 0, machine: { usedSeconds: 0, idleSeconds: atMs / 1000 }, ownCpuSeconds: 0, backends: [{ ...nothing, atMs }], ...rest }
}

function readings(spec: LoadSpec, rest: Partial<Readings> = {}): Readings {
  return {
    workload: { spec },
    tallies: [tally()],
    before: [nothing],
    open: edge(0),
    close: edge(1000),
    after: [{ ...nothing, connections: 2, receivedBytes: 300, sentBytes: 300 }],
    hasRelay: true, pssBeforeBytes: 1024 * 1024, pssAfterBytes: 2 * 1024 * 1024,
    ...rest,
  }
}

const echo: LoadSpec = { kind: 'echo', connections: 2, payloadBytes: 100 }

void test('CPU of an operation is right although the windows of generator and relay differ', async (t) => {
  // 1,000 requests/s by the generator's clock; 0.5 cores by the bench's, which read the relay's CPU over 2 s.
  const { metrics } = conclude(readings(echo, { tallies: [tally({ operations: 500, windowMs: 500 })], close: edge(2000, { relayCpuSeconds: 1 }) }))
  t.match(metrics, { requestsPerSecond: 1000, relayCores: 0.5, cpuUsPerRequest: 500 })
})

void test('threads and processes add up', async (t) => {
  const latency = createLatencyHistogram()
  latency.record(5_000)
  const { metrics } = conclude(readings(echo, {
    tallies: [tally({ operations: 10, opened: 1, sentBytes: 100, receivedBytes: 100, latency }), tally({ operations: 20, opened: 1, sentBytes: 200, receivedBytes: 200, latency })],
  }))
  t.match(metrics, { requestsPerSecond: 30, generatorCores: 0.2 })
  t.equal(Math.round(metrics.p50Us ?? 0), 5, 'to the three figures of the histogram')
})

void test('an upload is counted where it arrives', async (t) => {
  const { metrics } = conclude(readings({ kind: 'upload', connections: 2 }, {
    open: edge(0, { backends: [{ ...nothing, atMs: 0, receivedBytes: 1e9 }] }),
    close: edge(1000, { backends: [{ ...nothing, atMs: 500, receivedBytes: 2e9 }], relayCpuSeconds: 1 }),
  }))
  t.match(metrics, { gigabytesPerSecond: 2, cpuSecondsPerGigabyte: 0.5 })
})

void test('an idle connection costs what the relay has grown by', async (t) => {
  t.match(conclude(readings({ kind: 'idle', connections: 2 })).metrics, { idleKibPerConnection: 512, memoryMib: 2 })
})

void test('a direct connection has no relay to tell of', async (t) => {
  const { metrics } = conclude(readings(echo, { hasRelay: false, pssBeforeBytes: 0, pssAfterBytes: 0 }))
  for (const name of ['relayCores', 'cpuUsPerRequest', 'memoryMib'] as const) t.equal(metrics[name], undefined, name)
})

void test('what other programs used is what nobody here has', async (t) => {
  const { metrics } = conclude(readings(echo, {
    close: edge(1000, {
      machine: { usedSeconds: 1.75, idleSeconds: 0.25 }, relayCpuSeconds: 0.5, ownCpuSeconds: 0.5,
      backends: [{ ...nothing, atMs: 1000, cpuMs: 250 }],
    }),
  }))
  t.equal(metrics.otherCores, 0.5)
})

void test('whatever limits a figure is told', async (t) => {
  const cases: [string, LoadSpec, Partial<Readings>][] = [
    ['generator full', echo, { tallies: [tally({ cpuMs: 901 })] }],
    ['backend full', echo, { close: edge(1000, { backends: [{ ...nothing, atMs: 1000, cpuMs: 950 }] }) }],
    ['machine full', echo, { close: edge(1000, { machine: { usedSeconds: 1.96, idleSeconds: 0.04 } }) }],
    ['only 97 requests/s', { kind: 'paced', connections: 2, payloadBytes: 100, requestsPerSecond: 100 }, { tallies: [tally({ operations: 97 })] }],
    ['1 upstream connections stayed open after the clients\' resets', echo, { after: [{ ...nothing, open: 1, connections: 2, receivedBytes: 300, sentBytes: 300 }] }],
  ]
  for (const [caveat, spec, rest] of cases) t.same(conclude(readings(spec, rest)).caveats, [caveat], caveat)
  t.same(conclude(readings(echo)).caveats, [])
})

void test('failures and counts that disagree fail a measurement', async (t) => {
  t.equal(conclude(readings(echo, { tallies: [tally({ failures: 2, firstFailure: 'ECONNRESET' })] })).failure, '2 failed: ECONNRESET')
  t.match(conclude(readings(echo, { after: [nothing] })).failure, '2 connections were opened, 0 reached the backend')
  t.equal(conclude(readings(echo)).failure, undefined)
})
