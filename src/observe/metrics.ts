// Prometheus metrics of a gateway. Label values come from the configuration and from our own unions, never from a peer, and
// every series that can be foreseen is there from the start: a rate over a counter that appears late misses its first count.

import { collectDefaultMetrics, Counter, Gauge, Registry } from 'prom-client'
import type { AdmissionFigures } from '../core/limit/admission-tables.ts'
import type { ListenerTable } from '../core/listener-table.ts'
import type { RelayCounters } from '../core/relay-observer.ts'
import { registerConnectionMetrics } from './connection-metrics.ts'
import type { ConnectionTotals } from './connection-totals.ts'

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
  readonly limits: () => AdmissionFigures
}

export interface MetricsOptions {
  readonly version: string
  readonly sources: MetricSources
  readonly totals: ConnectionTotals
  readonly listeners: ListenerTable
}

export class Metrics {
  /** For metrics of parts that are not always there. */
  readonly registry = new Registry()
  readonly #reloads: Counter<'result'>

  constructor({ version, sources, totals, listeners }: MetricsOptions) {
    const registers = [this.registry]
    collectDefaultMetrics({ register: this.registry })
    registerConnectionMetrics({ registry: this.registry, totals, listeners })
    this.#counter('sluice_access_log_suppressed_total', 'Access-log lines of refused connections that were over their budget', () => sumOf(totals.linesSuppressed()))
    this.#reloads = new Counter({ name: 'sluice_reloads_total', help: 'Reloads of the configuration, by result', labelNames: ['result'], registers })
    for (const result of ['reloaded', 'kept'] as const) this.#reloads.inc({ result }, 0)
    this.#relayGauges(sources)
    this.#relayCounters(sources)
    this.#snapshotGauges(sources)
    this.#limits(sources)
    new Gauge({ name: 'sluice_build_info', help: 'Always 1', labelNames: ['version'], registers }).set({ version }, 1)
  }

  /** Once: drains that the admin API has begun. */
  observeDrains(figures: () => { readonly running: number; readonly connectionsLeft: number }): void {
    this.#gauge('sluice_drains', 'Drains of tenants and endpoints that are under way', () => figures().running)
    this.#gauge('sluice_drain_connections_left', 'Connections that they have yet to close; some may have ended by themselves', () => figures().connectionsLeft)
  }

  reloaded(result: 'reloaded' | 'kept'): void {
    this.#reloads.inc({ result })
  }

  get contentType(): string {
    return this.registry.contentType
  }

  /** In Prometheus' text format. */
  async text(): Promise<string> {
    return await this.registry.metrics()
  }

  #relayGauges({ relay, limits }: MetricSources): void {
    const registers = [this.registry]
    const open = new Gauge({
      name: 'sluice_connections_open', help: 'Connections accepted and not yet ended', labelNames: ['listener'], registers,
      collect: () => {
        for (const [listener, count] of relay().openConnectionsByListener) open.set({ listener }, count)
      },
    })
    this.#gauge('sluice_connections_open_before_hello', 'Of these, those without a whole ClientHello', () => relay().openConnectionsBeforeHello)
    this.#gauge('sluice_connections_max', 'Open connections over which new ones are refused', () => limits().connectionsMax)
    this.#gauge('sluice_sources_dropped', 'Sources over their rate whose SYNs are thrown away now, by worker and listener', () => relay().sourcesDropped ?? 0)
    this.#gauge('sluice_workers', 'Worker threads that relay; 0 where the main thread does', () => relay().workers ?? 0)
  }

  #relayCounters({ relay }: MetricSources): void {
    const registers = [this.registry]
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
    this.#counter('sluice_paced_accepts_total', 'Connections that waited for their accept in a storm, so that those that are relayed did not', () => relay().pacedAccepts ?? 0)
    this.#counter('sluice_source_drops_total', 'Times that a source began to be dropped, for a quarter of a second to two, or longer each time', () => relay().sourceDrops ?? 0)
    this.#counter('sluice_source_drops_missed_total', 'Times that one should have: as many as can be were dropped, or the kernel took no filter', () => relay().sourceDropsMissed ?? 0)
    this.#counter('sluice_splices_total', 'Directions of connections that were moved into splice', () => relay().splices ?? 0)
    this.#gauge('sluice_kernel_lane_connections', 'Connections whose bytes the kernel moves by itself', () => relay().kernelLaneConnections ?? 0)
    this.#counter('sluice_kernel_lane_entries_total', 'Times that a connection entered the kernel lane', () => relay().kernelLaneEntries ?? 0)
    const leaves = new Counter({
      name: 'sluice_kernel_lane_leaves_total', help: 'Times that a connection left the kernel lane: more than its budget at once, a FIN or RST, or cores that are full', labelNames: ['reason'], registers,
      collect: () => {
        leaves.reset()
        for (const [reason, count] of Object.entries(relay().kernelLaneLeaves ?? {})) leaves.inc({ reason }, count)
      },
    })
    const polls = new Counter({
      name: 'sluice_busy_polls_total', help: 'Times that a worker polled before it slept (relay.busyPoll), and whether anything came, or another program had the core meanwhile', labelNames: ['result'], registers,
      collect: () => {
        polls.reset()
        for (const [result, count] of Object.entries(relay().busyPolls ?? {})) polls.inc({ result }, count)
      },
    })
    this.#counter('sluice_worker_restarts_total', 'Worker threads that died and were replaced', () => relay().workerRestarts ?? 0)
  }

  #snapshotGauges({ snapshot }: MetricSources): void {
    this.#gauge('sluice_snapshot_version', 'Snapshots published by this process', () => snapshot().version)
    this.#gauge('sluice_snapshot_age_seconds', 'Since the snapshot was published', () => (Date.now() - snapshot().publishedAtMs) / 1_000)
    this.#gauge('sluice_snapshot_tenants', 'Tenants in the snapshot', () => snapshot().tenants)
    this.#gauge('sluice_snapshot_hostnames', 'Hostnames and wildcards in the snapshot', () => snapshot().hostnames)
  }

  #limits({ limits }: MetricSources): void {
    this.#gauge('sluice_tenant_connections_open', 'Connections and streams of the tunnel that are counted to a tenant', () => limits().openOfTenants)
    this.#gauge('sluice_tenants_connected', 'Tenants that have any', () => limits().tenantsWithConnections)
    this.#counter('sluice_retries_total', 'Further endpoints that were dialled for a connection or a stream', () => limits().retries)
    this.#counter('sluice_retries_refused_total', 'Those that were not, because the budget of retries was spent', () => limits().retriesRefused)
    this.#counter('sluice_sources_untracked_total', 'Connections that no limit of their source held for: its part of the table was full', () => limits().untracked)
    this.#counter('sluice_sources_forgotten_total', 'Sources that another took the place of while their rate still held them back', () => limits().forgotten)
  }

  #gauge(name: string, help: string, read: () => number): void {
    const gauge: Gauge = new Gauge({ name, help, registers: [this.registry], collect: () => gauge.set(read()) })
  }

  /** A total that is kept elsewhere. */
  #counter(name: string, help: string, read: () => number): void {
    const counter: Counter = new Counter({
      name, help, registers: [this.registry],
      collect: () => {
        counter.reset()
        counter.inc(read())
      },
    })
  }
}

function sumOf(counts: ReadonlyMap<string, number>): number {
  return [...counts.values()].reduce((sum, count) => sum + count, 0)
}
