// Prometheus metrics of an agent. Label values come from the configuration and from our own unions; every series that can be
// foreseen is there from the start: a rate over a counter that appears late misses its first count.

import { collectDefaultMetrics, Counter, Gauge, Histogram, Registry } from 'prom-client'
import { dialledEnds, sessionEndReasons, sessionRefusals } from '../core/tunnel/tunnel-observer.ts'
import { connectSteps, forwardedEnds, lanes, linkStates, type AgentObserver, type ForwardedRecord, type ForwardFacts, type LinkFacts, type ReverseFacts, type ReverseRecord } from '../core/tunnel/agent-observer.ts'

/** Asked at each scrape. */
export interface AgentMetricSources {
  readonly links: () => readonly LinkFacts[]
  readonly forwards: () => readonly ForwardFacts[]
  readonly reverse: () => ReverseFacts
}

/** Seconds. */
const dialBuckets = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5]

export class AgentMetrics implements AgentObserver {
  readonly #registry = new Registry()
  readonly #started: Counter
  readonly #ended: Counter<'reason'>
  readonly #refused: Counter<'reason'>
  readonly #failed: Counter<'step'>
  readonly #connections: Counter<'end' | 'lane'>
  readonly #reverse: Counter<'end' | 'status'>
  readonly #reverseBytes: Counter<'to'>
  readonly #reverseDial: Histogram

  constructor({ version, sources }: { readonly version: string; readonly sources: AgentMetricSources }) {
    const registers = [this.#registry]
    collectDefaultMetrics({ register: this.#registry })
    new Gauge({ name: 'sluice_build_info', help: 'Always 1', labelNames: ['version'], registers }).set({ version }, 1)
    this.#started = new Counter({ name: 'sluice_agent_sessions_started_total', help: 'Sessions that began: the first with each gateway, and each that came after one was lost', registers })
    this.#ended = this.#counter('sluice_agent_sessions_ended_total', 'Sessions that ended, by reason', 'reason', sessionEndReasons)
    this.#refused = this.#counter('sluice_agent_sessions_refused_total', 'Times that a gateway gave no session, by the reason that it gave', 'reason', [...sessionRefusals, 'other'])
    this.#failed = this.#counter('sluice_agent_connect_failures_total', 'Times that no gateway was reached, by the step that failed', 'step', connectSteps)
    this.#connections = new Counter({ name: 'sluice_agent_connections_total', help: 'Connections of the node that ended, by how and by lane', labelNames: ['end', 'lane'], registers })
    for (const end of forwardedEnds) for (const lane of lanes) this.#connections.inc({ end, lane }, 0)
    this.#reverse = new Counter({ name: 'sluice_agent_reverse_connections_total', help: 'Connections of the API server to this side that ended, by how and by what was answered', labelNames: ['end', 'status'], registers })
    for (const status of ['400', '403', '502', '503', '504']) this.#reverse.inc({ end: 'refused', status }, 0)
    for (const end of dialledEnds) if (end !== 'refused' && end !== 'closed-by-operator') this.#reverse.inc({ end, status: end === 'abandoned' ? 'none' : '200' }, 0)
    this.#reverseBytes = this.#counter('sluice_agent_reverse_bytes_total', 'Bytes that ended connections of the API server had carried', 'to', ['node', 'apiserver'])
    this.#reverseDial = new Histogram({ name: 'sluice_agent_reverse_dial_seconds', help: 'From the API server’s request to the answer', buckets: dialBuckets, registers })
    this.#reverseGauges(sources)
    this.#linkGauges(sources)
    this.#forwardMetrics(sources)
  }

  get contentType(): string {
    return this.#registry.contentType
  }

  /** In Prometheus' text format. */
  async text(): Promise<string> {
    return await this.#registry.metrics()
  }

  linkChanged({ state }: LinkFacts): void {
    if (state.kind === 'up') this.#started.inc()
    if (state.kind !== 'waiting') return
    const { fault } = state
    switch (fault.kind) {
      case 'unreachable': this.#failed.inc({ step: fault.step }); break
      case 'refused': this.#refused.inc({ reason: fault.reason }); break
      case 'ended': this.#ended.inc({ reason: fault.reason }); break
      default: fault satisfies never
    }
  }

  linkRefused(): void {
    // The state that follows says the same.
  }

  announcementsRefused(): void {
    // A gauge asks the links.
  }

  connectionEnded({ end, lane }: ForwardedRecord): void {
    this.#connections.inc({ end, lane })
  }

  reverseEnded({ end, status, dialMs, toUpstreamBytes, fromUpstreamBytes }: ReverseRecord): void {
    this.#reverse.inc({ end, status: status === undefined ? 'none' : String(status) })
    this.#reverseBytes.inc({ to: 'node' }, toUpstreamBytes)
    this.#reverseBytes.inc({ to: 'apiserver' }, fromUpstreamBytes)
    if (dialMs !== undefined) this.#reverseDial.observe(dialMs / 1_000)
  }

  #reverseGauges({ reverse, links }: AgentMetricSources): void {
    const registers = [this.#registry]
    const connections: Gauge = new Gauge({ name: 'sluice_agent_reverse_connections_open', help: 'Open connections of the API server to this side', registers, collect: () => connections.set(reverse().connections) })
    const dials: Gauge = new Gauge({ name: 'sluice_agent_reverse_dials', help: 'Of these, those that are being dialled', registers, collect: () => dials.set(reverse().dials) })
    const refused: Gauge<'gateway'> = new Gauge({
      name: 'sluice_agent_announcements_refused', help: 'Of what the node announces, how much does not hold at each gateway', labelNames: ['gateway'], registers,
      collect: () => {
        refused.reset()
        for (const { gateway, refusedAnnouncements } of links()) refused.inc({ gateway }, refusedAnnouncements.length)
      },
    })
  }

  #linkGauges({ links }: AgentMetricSources): void {
    const registers = [this.#registry]
    const sessions = new Gauge({
      name: 'sluice_agent_sessions', help: 'Gateways, by how the session with them stands', labelNames: ['state'], registers,
      collect: () => {
        for (const kind of linkStates) sessions.set({ state: kind }, links().filter(({ state }) => state.kind === kind).length)
      },
    })
    const streams = new Gauge({
      name: 'sluice_agent_streams', help: 'Open streams of the session with each gateway', labelNames: ['gateway'], registers,
      collect: () => {
        streams.reset()
        // There may be one that leaves, and one that has its place.
        for (const { gateway, streamCount } of links()) streams.inc({ gateway }, streamCount)
      },
    })
    const rtt = new Gauge({
      name: 'sluice_agent_session_rtt_seconds', help: 'Round trip of the session with each gateway, where one is known', labelNames: ['gateway'], registers,
      collect: () => {
        rtt.reset()
        for (const { gateway, rttMs, state } of links()) if (rttMs !== undefined && state.kind === 'up') rtt.set({ gateway }, rttMs / 1_000)
      },
    })
  }

  #forwardMetrics({ forwards }: AgentMetricSources): void {
    const registers = [this.#registry]
    const total = (read: (facts: ForwardFacts) => number): number => forwards().reduce((sum, facts) => sum + read(facts), 0)
    const gauge = (name: string, help: string, read: (facts: ForwardFacts) => number): void => {
      const made: Gauge = new Gauge({ name, help, registers, collect: () => made.set(total(read)) })
    }
    gauge('sluice_agent_connections_open', 'Open connections of the node', ({ connectionCount }) => connectionCount)
    gauge('sluice_agent_connections_waiting', 'Of these, those that wait for a session', ({ waitingCount }) => waitingCount)
    const bytes = new Counter({
      name: 'sluice_agent_bytes_total', help: 'Bytes carried to the API server and to the node’s clients, of open connections too', labelNames: ['to'], registers,
      collect: () => {
        bytes.reset()
        bytes.inc({ to: 'upstream' }, total(({ toUpstreamBytes }) => toUpstreamBytes))
        bytes.inc({ to: 'client' }, total(({ fromUpstreamBytes }) => fromUpstreamBytes))
      },
    })
  }

  #counter<Label extends string>(name: string, help: string, label: Label, values: readonly string[]): Counter<Label> {
    const made = new Counter({ name, help, labelNames: [label], registers: [this.#registry] })
    for (const value of values) made.labels(value).inc(0)
    return made
  }
}
