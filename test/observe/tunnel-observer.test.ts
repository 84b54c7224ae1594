// The tunnel's metrics: every series from the start, figures asked for once a scrape, and each metric in the documentation.

import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { Registry } from 'prom-client'
import { test } from 'tap'
import type { SessionEnd } from '../../src/core/mux/limits.ts'
import { figuresOf, rttBoundsMs, type TunnelFigures } from '../../src/core/tunnel/tunnel-figures.ts'
import { floodKinds, sessionEndReasons, sessionRefusals } from '../../src/core/tunnel/tunnel-observer.ts'
import { createLogger } from '../../src/observe/log.ts'
import { TunnelObserver } from '../../src/observe/tunnel-observer.ts'
import { textStream } from '../support/kept-lines.ts'

interface Observed {
  readonly observer: TunnelObserver
  readonly registry: Registry
  readonly lines: string[]
  figures: TunnelFigures
  /** Times that the figures were asked for. */
  asked: number
  samples(): Promise<ReadonlyMap<string, number>>
}

function observe(): Observed {
  const registry = new Registry()
  const lines: string[] = []
  const it: Observed = {
    registry, lines, figures: figuresOf({}), asked: 0,
    observer: new TunnelObserver({
      registry, logger: createLogger({ stream: textStream((text) => lines.push(text)) }),
      figures: async () => {
        it.asked += 1
        return await Promise.resolve(it.figures)
      },
    }),
    samples: async () => new Map((await registry.metrics()).split('\n').filter((line) => line.startsWith('sluice')).map((line) => [line.slice(0, line.lastIndexOf(' ')), Number(line.slice(line.lastIndexOf(' ') + 1))])),
  }
  return it
}

const facts = { id: 'a-1', tenant: 'acme', node: 'worker-1', keyId: '0'.repeat(32), remote: '192.0.2.7', sinceMs: 0, announced: { addresses: ['192.0.2.7'], ranges: [], names: [] } }

void test('every foreseeable series is there from the start, and the figures are asked for once a scrape', async (t) => {
  const it = observe()
  const found = await it.samples()
  for (const reason of sessionEndReasons) t.equal(found.get(`sluice_tunnel_sessions_ended_total{reason="${reason}"}`), 0, reason)
  for (const reason of sessionRefusals) t.equal(found.get(`sluice_tunnel_sessions_refused_total{reason="${reason}"}`), 0, reason)
  for (const kind of floodKinds) t.equal(found.get(`sluice_tunnel_floods_total{kind="${kind}"}`), 0, kind)
  for (const le of [...rttBoundsMs.map((boundMs) => boundMs / 1_000), '+Inf']) t.equal(found.get(`sluice_tunnel_session_rtt_seconds_bucket{le="${le}"}`), 0, String(le))
  t.equal(it.asked, 1)
})

const series: readonly (readonly [figures: Partial<TunnelFigures>, name: string, value: number])[] = [
  [{ sessions: 3 }, 'sluice_tunnel_sessions', 3],
  [{ streams: 4 }, 'sluice_tunnel_streams', 4],
  [{ handshakes: 5 }, 'sluice_tunnel_handshakes', 5],
  [{ windowGrowthBytes: 6 }, 'sluice_tunnel_window_growth_bytes', 6],
  [{ sendQueueBytes: 7 }, 'sluice_tunnel_send_queue_bytes', 7],
  [{ sendQueueBytesMax: 8 }, 'sluice_tunnel_send_queue_largest_bytes', 8],
  [{ pingsOverdue: 9 }, 'sluice_tunnel_pings_overdue', 9],
  [{ framesSent: 10 }, 'sluice_tunnel_frames_total{direction="sent"}', 10],
  [{ framesReceived: 11 }, 'sluice_tunnel_frames_total{direction="received"}', 11],
  [{ bytesSent: 12 }, 'sluice_tunnel_session_bytes_total{direction="sent"}', 12],
  [{ bytesReceived: 13 }, 'sluice_tunnel_session_bytes_total{direction="received"}', 13],
  [{ resetsSent: 14 }, 'sluice_tunnel_resets_total{direction="sent"}', 14],
  [{ resetsReceived: 15 }, 'sluice_tunnel_resets_total{direction="received"}', 15],
  [{ strayBytes: 16 }, 'sluice_tunnel_stray_bytes_total', 16],
  [{ streamsAccepted: 17 }, 'sluice_tunnel_streams_accepted_total', 17],
  [{ streamsRefused: 18 }, 'sluice_tunnel_streams_refused_total', 18],
  [{ handshakesRefused: 19 }, 'sluice_tunnel_handshakes_refused_total', 19],
  [{ sessionsEvicted: 20 }, 'sluice_tunnel_sessions_evicted_total', 20],
  [{ windowGrowthRefusals: 21 }, 'sluice_tunnel_window_growth_refused_total', 21],
]

void test('each figure is in its series, at one scrape as at the next', async (t) => {
  const it = observe()
  it.figures = figuresOf(Object.assign({}, ...series.map(([figures]) => figures)))
  for (let scrape = 1; scrape <= 2; scrape++) {
    const found = await it.samples()
    for (const [, name, value] of series) t.equal(found.get(name), value, name)
  }
})

void test('round trips are a histogram of the sessions that there are', async (t) => {
  const it = observe()
  it.figures = figuresOf({ rttSumMs: 3_510, rttCounts: [...rttBoundsMs.map((boundMs) => boundMs === 5 ? 2 : 0), 1] })
  const text = await it.registry.metrics()
  for (const line of ['# TYPE sluice_tunnel_session_rtt_seconds histogram', '_bucket{le="0.0025"} 0', '_bucket{le="0.005"} 2', '_bucket{le="2.5"} 2', '_bucket{le="+Inf"} 3', '_sum 3.51', '_count 3']) t.ok(text.includes(`${line}\n`), line)
})

const ends: readonly (readonly [SessionEnd, reason: string, flood: string | undefined])[] = [
  [{ reason: 'closed', detail: 'x' }, 'closed', undefined],
  [{ reason: 'silent' }, 'silent', undefined],
  [{ reason: 'protocol-error', detail: 'x' }, 'protocol-error', undefined],
  [{ reason: 'peer-error', code: 1 }, 'peer-error', undefined],
  ...floodKinds.map((kind) => [{ reason: 'flood', kind }, 'flood', kind] as const),
]

void test('a session’s end is counted by its reason, a flood by its kind too', async (t) => {
  for (const [end, reason, flood] of ends) {
    const it = observe()
    it.observer.sessionEnded(facts, end)
    const found = [...await it.samples()].filter(([name, value]) => value === 1 && name.includes('{'))
    t.same(found, [[`sluice_tunnel_sessions_ended_total{reason="${reason}"}`, 1], ...(flood === undefined ? [] : [[`sluice_tunnel_floods_total{kind="${flood}"}`, 1]])])
  }
})

void test('a refusal’s line says what is wrong', (t) => {
  const { observer, lines } = observe()
  observer.sessionRefused('certificate-wrong', { node: 'worker-1', remote: '192.0.2.7', detail: 'it has expired' })
  t.match(JSON.parse(lines[0] ?? ''), { node: 'worker-1', remote: '192.0.2.7', reason: 'certificate-wrong', detail: 'it has expired' })
  t.end()
})

void test('each metric is documented, and none that there is not', async (t) => {
  const there = (await observe().registry.getMetricsAsJSON()).map(({ name }) => name).toSorted()
  const text = readFileSync(fileURLToPath(new URL('../../docs/tunnel-metrics.md', import.meta.url)), 'utf8')
  const documented = [...text.matchAll(/^\| `(sluice_(?:tunnel|egress|peer)_\w+)/gm)].map(([, name = '']) => name).toSorted()
  t.same(documented, there)
})
