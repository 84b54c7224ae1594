// An agent's status in words.

import { refusalAdvice } from '../../core/tunnel/refusal-advice.ts'
import type { AgentStatus, GatewayStatus } from '../../core/tunnel/agent-status.ts'
import { printable } from '../../config/quote.ts'
import { formatTable } from '../table.ts'

/** @param nowMs since 1970 */
export function formatStatus({ node, version, since, ready, proxy, gateways, forwards, reverse }: AgentStatus, nowMs: number): string {
  const ago = (time: string): string => span(nowMs - Date.parse(time))
  const sessions = gateways.map(({ gateway, state, since: sinceState, rttMs, streams }) => ({
    gateway, state, 'for': ago(sinceState), 'rtt': rttMs === undefined ? '-' : `${rttMs < 10 ? rttMs.toFixed(1) : Math.round(rttMs)} ms`, 'streams': String(streams),
  }))
  const listeners = forwards.map(({ address, connections, waiting }) => ({ 'listens on': address, 'connections': String(connections), 'waiting': String(waiting) }))
  const refused = gateways.flatMap(({ gateway, refusedAnnouncements = [] }) => refusedAnnouncements.map(({ announced, why }) => `${printable(announced)} at ${gateway}: ${printable(why)}\n`))
  const errors = gateways.flatMap((gateway) => {
    const { lastError, nextTry } = gateway
    if (lastError === undefined) return []
    const next = nextTry === undefined ? '' : `; next try in ${span(Date.parse(nextTry) - nowMs)}`
    return [`${gateway.gateway}, ${ago(lastError.at)} ago: ${whyOf(gateway)}${next}\n`]
  })
  return printable(`node ${node}, agent ${version}, up for ${ago(since)}${proxy === undefined ? '' : `, through the proxy ${proxy}`}`)
    + (ready ? '\n\n' : '\nNo session is up.\n\n')
    + formatTable(sessions, ['gateway', 'state', 'for', 'rtt', 'streams'])
    + '\n' + formatTable(listeners, ['listens on', 'connections', 'waiting'])
    + `\nThe API server has ${reverse.connections} connections to this side, ${reverse.dials} of them being dialled.\n`
    + (refused.length === 0 ? '' : `\nANNOUNCED, AND NOT TAKEN\n${refused.join('')}`)
    + (errors.length === 0 ? '' : `\nLAST ERRORS\n${errors.join('')}`)
}

/** With what to do, where that is known. */
function whyOf({ lastError }: GatewayStatus): string | undefined {
  if (lastError === undefined) return undefined
  const advice = refusalAdvice(lastError.why.split(' ')[1] ?? '')
  return printable(lastError.why) + (advice === undefined ? '' : ` (${advice})`)
}

/** `0 s`, `45 s`, `12 min`, `3 h 05 min`, `2 d 4 h` */
function span(ms: number): string {
  const seconds = Math.max(0, Math.round(ms / 1_000))
  if (seconds < 120) return `${seconds} s`
  const minutes = Math.floor(seconds / 60)
  if (minutes < 120) return `${minutes} min`
  const hours = Math.floor(minutes / 60)
  return hours < 48 ? `${hours} h ${String(minutes % 60).padStart(2, '0')} min` : `${Math.floor(hours / 24)} d ${hours % 24} h`
}
