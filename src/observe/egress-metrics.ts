// The egress in metrics and log: a line for a connection that an API server was refused, at warn, within a budget; for one that
// reached its node at debug.

import { Counter, Histogram, type Registry } from 'prom-client'
import { egressEnds, egressRefusals, type EgressObserver, type EgressRecord, type EgressRefusal } from '../core/egress/egress-observer.ts'
import { LineBudget } from './line-budget.ts'
import type { Logger } from './log.ts'

const lineLimits = { linesPerSecond: 5, linesBurst: 50 } as const
/** Seconds: from a stream's round trip to the end of an agent's patience. */
const dialBuckets = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 15]

export class EgressMetrics implements EgressObserver {
  readonly #logger: Logger
  readonly #lines = new LineBudget<EgressRefusal | 'client'>(lineLimits)
  readonly #ended: Counter<'end'>
  readonly #refused: Counter<'reason'>
  readonly #clients: Counter
  readonly #retries: Counter
  readonly #bytes: Counter<'to'>
  readonly #dial: Histogram<'result'>
  readonly #suppressed: Counter

  constructor(registry: Registry, logger: Logger) {
    this.#logger = logger
    const registers = [registry]
    this.#ended = new Counter({ name: 'sluice_egress_connections_total', help: 'Connections of API servers to their nodes that ended, by how', labelNames: ['end'], registers })
    this.#refused = new Counter({ name: 'sluice_egress_refused_total', help: 'Connections that API servers were refused, by why', labelNames: ['reason'], registers })
    this.#clients = new Counter({ name: 'sluice_egress_clients_refused_total', help: 'Clients of an egress with TLS that have shown no certificate of its authority', registers })
    this.#retries = new Counter({ name: 'sluice_egress_retries_total', help: 'Further agents that were asked, after the first', registers })
    this.#bytes = new Counter({ name: 'sluice_egress_bytes_total', help: 'Bytes that ended connections had carried', labelNames: ['to'], registers })
    this.#dial = new Histogram({ name: 'sluice_egress_dial_seconds', help: 'From an API server’s CONNECT to its answer', labelNames: ['result'], buckets: dialBuckets, registers })
    this.#suppressed = new Counter({ name: 'sluice_egress_lines_suppressed_total', help: 'Lines about refusals that were over their budget', registers })
    for (const end of egressEnds) this.#ended.inc({ end }, 0)
    for (const reason of egressRefusals) this.#refused.inc({ reason }, 0)
    for (const to of ['node', 'apiserver']) this.#bytes.inc({ to }, 0)
  }

  egressEnded(record: EgressRecord): void {
    const { end, refusal, attempts, dialMs } = record
    this.#ended.inc({ end })
    this.#bytes.inc({ to: 'node' }, record.toNodeBytes)
    this.#bytes.inc({ to: 'apiserver' }, record.fromNodeBytes)
    if (attempts > 1) this.#retries.inc(attempts - 1)
    if (dialMs !== undefined) this.#dial.observe({ result: refusal ?? 'connected' }, dialMs / 1_000)
    const line = { ...record, dialMs: dialMs === undefined ? undefined : Math.round(dialMs) }
    if (refusal === undefined) this.#logger.debug(line, 'egress connection')
    else {
      this.#refused.inc({ reason: refusal })
      this.#limited(refusal, () => this.#logger.warn(line, 'egress connection refused'))
    }
  }

  egressRefused(entry: string, detail: string): void {
    this.#clients.inc()
    this.#limited('client', () => this.#logger.warn({ egress: entry, detail }, 'egress client refused'))
  }

  #limited(kind: EgressRefusal | 'client', write: () => void): void {
    if (this.#lines.take(kind, performance.now())) write()
    else this.#suppressed.inc()
  }
}
