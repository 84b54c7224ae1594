// The metrics of ended connections, read from the cells of all threads at each scrape.

import { Counter, type Registry } from 'prom-client'
import type { ListenerTable } from '../core/listener-table.ts'
import { terminations, type TerminationOutcome } from '../core/termination.ts'
import { collectedHistogram } from './collected-histogram.ts'
import { connectionCell, outcomes, reasons, type HistogramLayout } from './connection-cells.ts'
import type { ConnectionTotals } from './connection-totals.ts'

export interface ConnectionMetricsOptions {
  readonly registry: Registry
  readonly totals: ConnectionTotals
  readonly listeners: ListenerTable
}

export function registerConnectionMetrics({ registry, totals, listeners }: ConnectionMetricsOptions): void {
  const registers = [registry]
  const ended = new Counter({
    name: 'sluice_connections_total', help: 'Connections that have ended, by listener and outcome', labelNames: ['listener', 'outcome'], registers,
    collect: () => {
      ended.reset()
      for (const [row, listener] of listeners.names()) {
        for (const [index, outcome] of outcomes.entries()) ended.inc({ listener, outcome }, totals.sum(connectionCell.ended + row * outcomes.length + index))
      }
    },
  })
  const byReason = (name: string, help: string, among: readonly TerminationOutcome[]): void => {
    const counter = new Counter({
      name, help, labelNames: ['reason'], registers,
      collect: () => {
        counter.reset()
        for (const [index, reason] of reasons.entries()) {
          if (among.includes(terminations[reason].outcome)) counter.inc({ reason }, totals.sum(connectionCell.byReason + index))
        }
      },
    })
  }
  byReason('sluice_connections_refused_total', 'Connections that reached no API server, by termination reason', ['refused', 'failed'])
  byReason('sluice_connections_aborted_total', 'Connections to an API server that did not end in good order, by termination reason', ['aborted'])
  const histogram = (name: string, help: string, layout: HistogramLayout): void => {
    registry.registerMetric(collectedHistogram({ name, help, upperBounds: layout.upperBounds, read: () => totals.histogram(layout) }))
  }
  histogram('sluice_hello_seconds', 'Accept to whole ClientHello', connectionCell.helloSeconds)
  histogram('sluice_connect_seconds', 'First dial to the connection that was used', connectionCell.connectSeconds)
  histogram('sluice_connection_duration_seconds', 'Accept to end, of connections that reached an API server', connectionCell.durationSeconds)
}
