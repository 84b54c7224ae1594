// Prometheus metrics of a gateway. Label values come from the configuration and from our own unions, never from a peer, and
// every series that can be foreseen is there from the start: a rate over a counter that appears late misses its first count.

import { collectDefaultMetrics, Counter, Gauge, Histogram, Registry } from 'prom-client'
import type { ConnectionRecord } from '../core/connection-record.ts'
import type { RelayCounters } from '../core/relay-observer.ts'
import { terminationOf, terminations, type TerminationReason } from '../core/termination.ts'

export interface SnapshotFacts {
  readonly version: number
  readonly publishedAtMs: number
  readonly tenants: number
  readonly hostnames: number
}

/** Asked at each scrape. */
export interface MetricSources {
  readonly relay: () => RelayCounters
  readonly snapshot: () => SnapshotFacts
  readonly accessLogSuppressed: () => number
}

const outcomes = ['completed', 'aborted', 'refused', 'failed'] as const
const handshakeBucketsSeconds = [0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5]
const durationBucketsSeconds = [0.01, 0.1, 1, 10, 60, 300, 600, 1_800, 3_600, 14_400, 86_400]

export class Metrics {
  readonly #registry = new Registry()
  readonly #connections: Counter<'listener' | 'outcome'>
  readonly #refused: Counter<'reason'>
  readonly #reloads: Counter<'result'>
  readonly #helloSeconds: Histogram
  readonly #connectSeconds: Histogram
  readonly #durationSeconds: Histogram

  constructor({ version, sources }: { readonly version: string; readonly sources: MetricSources }) {
    const registers = [this.#registry]
    collectDefaultMetrics({ register: this.#registry })
    this.#connections = new Counter({ name: 'sluice_connections_total', help: 'Connections that have ended, by listener and outcome', labelNames: ['listener', 'outcome'], registers })
    this.#refused = new Counter({ name: 'sluice_connections_refused_total', help: 'Connections that reached no API server, by termination reason', labelNames: ['reason'], registers })
    for (const [reason, { outcome }] of Object.entries(terminations)) {
      if (outcome === 'refused' || outcome === 'failed') this.#refused.inc({ reason }, 0)
    }
    this.#reloads = new Counter({ name: 'sluice_reloads_total', help: 'Reloads of the configuration, by result', labelNames: ['result'], registers })
    for (const result of ['reloaded', 'kept'] as const) this.#reloads.inc({ result }, 0)
    this.#helloSeconds = new Histogram({ name: 'sluice_hello_seconds', help: 'Accept to whole ClientHello', buckets: handshakeBucketsSeconds, registers })
    this.#connectSeconds = new Histogram({ name: 'sluice_connect_seconds', help: 'First dial to the connection that was used', buckets: handshakeBucketsSeconds, registers })
    this.#durationSeconds = new Histogram({ name: 'sluice_connection_duration_seconds', help: 'Accept to end, of connections that reached an API server', buckets: durationBucketsSeconds, registers })
    this.#relayGauges(sources)
    this.#relayCounters(sources)
    this.#snapshotGauges(sources)
    new Gauge({ name: 'sluice_build_info', help: 'Always 1', labelNames: ['version'], registers }).set({ version }, 1)
  }

  /** Makes a listener's series; its name is the one in the configuration. */
  addListener(listener: string): void {
    for (const outcome of outcomes) this.#connections.inc({ listener, outcome }, 0)
  }

  connectionEnded({ listener, reason, helloMs, connectMs, totalMs }: ConnectionRecord): void {
    const { outcome } = terminationOf(reason)
    this.#connections.inc({ listener, outcome })
    if (outcome === 'refused' || outcome === 'failed') this.#refused.inc({ reason } satisfies { reason: TerminationReason })
    else this.#durationSeconds.observe(totalMs / 1_000)
    if (helloMs !== undefined) this.#helloSeconds.observe(helloMs / 1_000)
    if (connectMs !== undefined) this.#connectSeconds.observe(connectMs / 1_000)
  }

  reloaded(result: 'reloaded' | 'kept'): void {
    this.#reloads.inc({ result })
  }

  get contentType(): string {
    return this.#registry.contentType
  }

  /** In Prometheus' text format. */
  async text(): Promise<string> {
    return await this.#registry.metrics()
  }

  #relayGauges({ relay }: MetricSources): void {
    const registers = [this.#registry]
    const open = new Gauge({
      name: 'sluice_connections_open', help: 'Connections accepted and not yet ended', labelNames: ['listener'], registers,
      collect: () => {
        for (const [listener, count] of relay().openConnectionsByListener) open.set({ listener }, count)
      },
    })
    this.#gauge('sluice_connections_open_before_hello', 'Of these, those without a whole ClientHello', () => relay().openConnectionsBeforeHello)
    this.#gauge('sluice_connections_max', 'Open connections over which new ones are refused', () => relay().connectionsMax)
    this.#gauge('sluice_workers', 'Worker threads that relay; 0 where the main thread does', () => relay().workers ?? 0)
  }

  #relayCounters({ relay, accessLogSuppressed }: MetricSources): void {
    const registers = [this.#registry]
    const bytes = new Counter({
      name: 'sluice_bytes_total', help: 'Bytes read from clients (downstream) and API servers (upstream), of live connections too', labelNames: ['from'], registers,
      collect: () => {
        const { bytesFromDownstream, bytesFromUpstream } = relay()
        bytes.reset()
        bytes.inc({ from: 'downstream' }, bytesFromDownstream)
        bytes.inc({ from: 'upstream' }, bytesFromUpstream)
      },
    })
    this.#counter('sluice_dials_total', 'Endpoints dialled', () => relay().dials)
    this.#counter('sluice_dial_failures_total', 'Dials that failed', () => relay().dialFailures)
    this.#counter('sluice_backpressure_pauses_total', 'Times that a reader was stopped because the other side was full', () => relay().backpressurePauses)
    this.#counter('sluice_accept_errors_total', 'Connections that the system could not hand over', () => relay().acceptErrors)
    this.#counter('sluice_accept_pauses_total', 'Times that accepting was paused for want of descriptors', () => relay().acceptPauses ?? 0)
    this.#counter('sluice_splices_total', 'Directions of connections that were moved into splice', () => relay().splices ?? 0)
    this.#counter('sluice_worker_restarts_total', 'Worker threads that died and were replaced', () => relay().workerRestarts ?? 0)
    this.#counter('sluice_access_log_suppressed_total', 'Access-log lines of refused connections that were over their budget', accessLogSuppressed)
  }

  #snapshotGauges({ snapshot }: MetricSources): void {
    this.#gauge('sluice_snapshot_version', 'Snapshots published by this process', () => snapshot().version)
    this.#gauge('sluice_snapshot_age_seconds', 'Since the snapshot was published', () => (Date.now() - snapshot().publishedAtMs) / 1_000)
    this.#gauge('sluice_snapshot_tenants', 'Tenants in the snapshot', () => snapshot().tenants)
    this.#gauge('sluice_snapshot_hostnames', 'Hostnames and wildcards in the snapshot', () => snapshot().hostnames)
  }

  #gauge(name: string, help: string, read: () => number): void {
    const gauge: Gauge = new Gauge({ name, help, registers: [this.#registry], collect: () => gauge.set(read()) })
  }

  /** A total that is kept elsewhere. */
  #counter(name: string, help: string, read: () => number): void {
    const counter: Counter = new Counter({
      name, help, registers: [this.#registry],
      collect: () => {
        counter.reset()
        counter.inc(read())
      },
    })
  }
}
