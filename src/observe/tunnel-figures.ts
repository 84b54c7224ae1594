// The tunnel's metrics that are read at each scrape: what its sessions have now, and what they have counted.

import { Counter, Gauge, type Registry } from 'prom-client'
import { rttBoundsMs, type TunnelFigures } from '../core/tunnel/tunnel-figures.ts'
import { collectedHistogram } from './collected-histogram.ts'

type NumberName = { readonly [Name in keyof TunnelFigures]: TunnelFigures[Name] extends number ? Name : never }[keyof TunnelFigures]

const gauges: readonly (readonly [name: string, figure: NumberName, help: string])[] = [
  ['sluice_tunnel_sessions', 'sessions', 'Sessions of agents'],
  ['sluice_tunnel_streams', 'streams', 'Open streams of all sessions'],
  ['sluice_tunnel_handshakes', 'handshakes', 'Connections of agents that are no sessions yet'],
  ['sluice_tunnel_window_growth_bytes', 'windowGrowthBytes', 'By how much streams’ windows have grown beyond what they begin with, together'],
  ['sluice_tunnel_send_queue_bytes', 'sendQueueBytes', 'Payload that waits to be sent to agents'],
  ['sluice_tunnel_send_queue_largest_bytes', 'sendQueueBytesMax', 'Of this, that of the session with the most'],
  ['sluice_egress_connections', 'egressConnections', 'Connections of API servers to their nodes'],
  ['sluice_egress_pending_dials', 'egressDials', 'Of these, those that wait for an agent’s dial'],
  ['sluice_peer_links', 'peerLinks', 'Links to other gateways that are up, of all threads'],
  ['sluice_tunnel_pings_overdue', 'pingsOverdue', 'Sessions with a ping that has had no answer for over a second'],
]

/** Totals, of sessions that have ended too. */
const counters: readonly (readonly [name: string, figures: NumberName | Readonly<Record<'sent' | 'received', NumberName>>, help: string])[] = [
  ['sluice_tunnel_frames_total', { sent: 'framesSent', received: 'framesReceived' }, 'Frames of sessions'],
  ['sluice_tunnel_session_bytes_total', { sent: 'bytesSent', received: 'bytesReceived' }, 'Payload of sessions, of open streams too'],
  ['sluice_tunnel_resets_total', { sent: 'resetsSent', received: 'resetsReceived' }, 'Streams that the gateway reset (sent), and that agents did (received)'],
  ['sluice_tunnel_stray_bytes_total', 'strayBytes', 'Payload that came for streams that were gone'],
  ['sluice_tunnel_streams_accepted_total', 'streamsAccepted', 'Streams that agents began'],
  ['sluice_tunnel_streams_refused_total', 'streamsRefused', 'Streams that were reset at once: over a session’s limit, or long after it was told to go'],
  ['sluice_tunnel_handshakes_refused_total', 'handshakesRefused', 'Connections that were reset because too many were no sessions yet'],
  ['sluice_tunnel_sessions_evicted_total', 'sessionsEvicted', 'Sessions that were ended for a newer one of their node, which had too many'],
  ['sluice_tunnel_window_growth_refused_total', 'windowGrowthRefusals', 'Times that a window could not grow for want of budget'],
]

export function registerTunnelFigures(registry: Registry, figures: () => Promise<TunnelFigures>): void {
  const registers = [registry]
  // One question a scrape, whose answer all of them wait for.
  let asked: Promise<TunnelFigures> | undefined
  const now = async (): Promise<TunnelFigures> => await (asked ??= figures().finally(() => {
    asked = undefined
  }))
  for (const [name, figure, help] of gauges) {
    const gauge: Gauge = new Gauge({ name, help, registers, collect: async () => gauge.set((await now())[figure]) })
  }
  for (const [name, figure, help] of counters) {
    const directions = typeof figure === 'string' ? undefined : figure
    const counter: Counter = new Counter({
      name, help, labelNames: directions === undefined ? [] : ['direction'], registers,
      collect: async () => {
        const all = await now()
        counter.reset()
        if (typeof figure === 'string') counter.inc(all[figure])
        else for (const direction of ['sent', 'received'] as const) counter.inc({ direction }, all[figure[direction]])
      },
    })
  }
  registry.registerMetric(collectedHistogram({
    name: 'sluice_tunnel_session_rtt_seconds', help: 'Round trips of the sessions that there are now: it falls when they end', upperBounds: rttBoundsMs.map((boundMs) => boundMs / 1_000),
    read: async () => {
      const { rttCounts, rttSumMs } = await now()
      let count = 0
      return { buckets: rttCounts.map((each) => (count += each)), sum: rttSumMs / 1_000 }
    },
  }))
}
