// The tunnel in metrics and log. A line for each session that begins, ends or is refused; for a stream that reached its API
// server one at debug, and else at warn, within a budget.

import { Counter, type Registry } from 'prom-client'
import type { EgressRecord } from '../core/egress/egress-observer.ts'
import { floodKinds, dialledEnds, sessionEndReasons, sessionRefusals, type DialledRecord, type RefusedAgent, type SessionFacts, type SessionRefusal, type TunnelObserver as TunnelEvents } from '../core/tunnel/tunnel-observer.ts'
import type { SessionEnd } from '../core/mux/limits.ts'
import type { RefusedAnnouncement } from '../core/tunnel/announcement.ts'
import type { TunnelFigures } from '../core/tunnel/tunnel-figures.ts'
import { EgressMetrics } from './egress-metrics.ts'
import { LineBudget } from './line-budget.ts'
import type { Logger } from './log.ts'
import { registerTunnelFigures } from './tunnel-figures.ts'

/** Lines about refused sessions and streams: a client that tries again and again must not fill the log. */
const lineLimits = { linesPerSecond: 5, linesBurst: 50 } as const

export interface TunnelObserverOptions {
  readonly registry: Registry
  readonly logger: Logger
  readonly figures: () => Promise<TunnelFigures>
}

export class TunnelObserver implements TunnelEvents {
  readonly #logger: Logger
  readonly #lines = new LineBudget<SessionRefusal | 'stream' | 'announcement'>(lineLimits)
  readonly #started: Counter<'enrolled'>
  readonly #ended: Counter<'reason'>
  readonly #floods: Counter<'kind'>
  readonly #refused: Counter<'reason'>
  readonly #streams: Counter<'end'>
  readonly #bytes: Counter<'to'>
  readonly #announcements: Counter
  readonly #suppressed: Counter
  readonly #egress: EgressMetrics

  constructor({ registry, logger, figures }: TunnelObserverOptions) {
    this.#logger = logger
    const registers = [registry]
    const counter = <Label extends string>(name: string, help: string, label: Label, values: readonly string[]): Counter<Label> => {
      const made = new Counter({ name, help, labelNames: [label], registers })
      // From the start: a rate over a counter that appears late misses its first count.
      for (const value of values) made.labels(value).inc(0)
      return made
    }
    this.#started = counter('sluice_tunnel_sessions_started_total', 'Sessions of agents that began, and whether the node enrolled with it', 'enrolled', ['true', 'false'])
    this.#ended = counter('sluice_tunnel_sessions_ended_total', 'Sessions that ended, by reason', 'reason', sessionEndReasons)
    this.#floods = counter('sluice_tunnel_floods_total', 'Sessions that ended as a flood, by what there was too much of', 'kind', floodKinds)
    this.#refused = counter('sluice_tunnel_sessions_refused_total', 'Agents that got no session, by reason', 'reason', sessionRefusals)
    this.#streams = counter('sluice_tunnel_streams_total', 'Streams of agents that ended, by how', 'end', dialledEnds)
    this.#bytes = counter('sluice_tunnel_bytes_total', 'Bytes that ended streams had carried', 'to', ['upstream', 'agent'])
    this.#suppressed = new Counter({ name: 'sluice_tunnel_lines_suppressed_total', help: 'Lines about refusals that were over their budget', registers })
    this.#announcements = new Counter({ name: 'sluice_tunnel_announcements_refused_total', help: 'Addresses, networks and names that agents announced and may not', registers })
    this.#egress = new EgressMetrics(registry, logger)
    registerTunnelFigures(registry, figures)
  }

  sessionStarted(session: SessionFacts, enrolled: boolean): void {
    this.#started.inc({ enrolled: String(enrolled) })
    this.#logger.info({ ...session, enrolled }, 'tunnel session')
  }

  sessionChanged({ id, tenant, node, announced }: SessionFacts): void {
    this.#logger.info({ id, tenant, node, announced }, 'other announcements of a tunnel session hold')
  }

  sessionLeaving({ id, tenant, node }: SessionFacts): void {
    this.#logger.debug({ id, tenant, node }, 'tunnel session takes no new connections')
  }

  sessionEnded(session: SessionFacts, end: SessionEnd): void {
    this.#ended.inc({ reason: end.reason })
    if (end.reason === 'flood') this.#floods.inc({ kind: end.kind })
    const { announced: _announced, ...facts } = session
    this.#logger.info({ ...facts, ...end }, 'tunnel session ended')
  }

  sessionRefused(reason: SessionRefusal, agent: RefusedAgent): void {
    this.#refused.inc({ reason })
    this.#limited(reason, () => this.#logger.warn({ ...agent, reason }, 'tunnel session refused'))
  }

  announcementRefused({ tenant, node, remote }: SessionFacts, refused: RefusedAnnouncement): void {
    this.#announcements.inc()
    this.#limited('announcement', () => this.#logger.warn({ tenant, node, remote, ...refused }, 'an announcement is refused'))
  }

  announcementHolds({ tenant, node, remote }: SessionFacts, announced: string): void {
    this.#limited('announcement', () => this.#logger.info({ tenant, node, remote, announced }, 'an announcement that was refused holds'))
  }

  peerLinkChanged(gateway: string, why: string | undefined): void {
    if (why === undefined) this.#logger.info({ gateway }, 'link to another gateway')
    else this.#logger.warn({ gateway, why }, 'no link to another gateway')
  }

  egressEnded(record: EgressRecord): void {
    this.#egress.egressEnded(record)
  }

  egressRefused(entry: string, detail: string): void {
    this.#egress.egressRefused(entry, detail)
  }

  streamEnded({ tenant, node, remote }: SessionFacts, record: DialledRecord): void {
    this.#streams.inc({ end: record.end })
    this.#bytes.inc({ to: 'upstream' }, record.toUpstreamBytes)
    this.#bytes.inc({ to: 'agent' }, record.fromUpstreamBytes)
    if (record.end === 'refused') this.#limited('stream', () => this.#logger.warn({ tenant, node, remote, ...record }, 'tunnel stream refused'))
    else this.#logger.debug({ tenant, node, remote, ...record }, 'tunnel stream')
  }

  failed(error: unknown, context: string): void {
    this.#logger.error({ error: error instanceof Error ? error.message : String(error) }, context)
  }

  #limited(kind: SessionRefusal | 'stream' | 'announcement', write: () => void): void {
    if (this.#lines.take(kind, performance.now())) write()
    else this.#suppressed.inc()
  }
}
