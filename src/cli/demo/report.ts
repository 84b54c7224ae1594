// What the demo prints: a row for each step, commands to try from another terminal, and one line that stays current.

import type { DemoGateway } from './gateway.ts'
import { hostnameOf, loopback } from './layout.ts'
import { outcomeText, type Step, type StoryEvent } from './story.ts'
import type { Tenant } from './tenant.ts'

const columns = { request: 50, outcome: 33, signedBy: 12, took: 8 } as const

export function tableHead(): string {
  return row({ mark: ' ', request: 'request', outcome: 'came back', signedBy: 'signed by', took: 'ms', gateway: "gateway's access log" })
}

export function storyLine(event: StoryEvent): string {
  switch (event.kind) {
    case 'chapter': return `\n${event.text}\n`
    case 'note': return `${mark(event.asExpected)} ${event.text}\n`
    case 'step': return stepLine(event.step)
    default: return event satisfies never
  }
}

function stepLine({ request, exchange, accessLog, asExpected }: Step): string {
  const { outcome, tookMs } = exchange
  return row({
    mark: mark(asExpected),
    request,
    outcome: outcomeText(outcome),
    signedBy: outcome.kind === 'answered' ? outcome.signedBy : '',
    took: tookMs.toFixed(1),
    gateway: accessLog === undefined ? '' : accessLogText(accessLog),
  })
}

function accessLogText({ reason, endpoint, attempts }: NonNullable<Step['accessLog']>): string {
  const way = endpoint === undefined ? '' : `, ${endpoint}`
  return `${reason}${way}${attempts > 1 ? `, attempt ${attempts}` : ''}`
}

function mark(asExpected: boolean): string {
  return asExpected ? '✓' : '✗'
}

function row(cells: Record<'mark' | 'request' | 'outcome' | 'signedBy' | 'took' | 'gateway', string>): string {
  const text = [
    cells.mark,
    cells.request.padEnd(columns.request),
    cells.outcome.padEnd(columns.outcome),
    cells.signedBy.padEnd(columns.signedBy),
    cells.took.padStart(columns.took),
    ` ${cells.gateway}`,
  ].join(' ')
  return `${text.trimEnd()}\n`
}

/** Lines that work as they are, from any directory, as long as the demo is up. */
export function commandsToTry({ gateway, tenants, directory, agentPort }: {
  gateway: DemoGateway
  tenants: readonly Tenant[]
  directory: string
  /** Where acme's node dials its API server; absent: there is no tunnel. */
  agentPort?: number | undefined
}): string {
  const { port } = gateway
  const url = (hostname: string): string => `https://${hostname}:${port}/version`
  const resolve = (hostname: string): string => `--resolve ${hostname}:${port}:${loopback}`
  const curls = tenants.map(({ hostname, files }) => `curl -sS --cacert ${files.ca} ${resolve(hostname)} ${url(hostname)}`)
  const [first] = tenants
  if (first === undefined) throw new Error('bug: a demo without tenants')
  const unknown = hostnameOf('unknown')
  const throughTunnel = agentPort === undefined ? '' : `\nAs acme's node does, by address and through the tunnel:\n\ncurl -sS --cacert ${first.files.ca} https://${loopback}:${agentPort}/version\n`
  return `
Try it from another terminal, in any directory. curl:

${curls.join('\n')}
curl -sS --cacert ${first.files.ca} ${resolve(unknown)} ${url(unknown)}   # refused, with the reason
${throughTunnel}
kubectl, with each tenant's own client certificate:

${tenants.map(tenant => kubectl(tenant, 'get namespaces')).join('\n')}
${kubectl(first, 'get configmaps heartbeat --watch')}

The gateway, from inside:

curl -sS ${gateway.adminUrl}/v1/snapshot
curl -sS ${gateway.adminUrl}/metrics
tail -f ${gateway.logFile}
\${EDITOR:-vi} ${gateway.configFile}   # saved changes are taken at once

All of it is below ${directory}, and goes when the demo ends.
`
}

/** With a cache of its own: kubectl's is by host and port, which all tenants have in common here. */
function kubectl({ files }: Tenant, command: string): string {
  return `kubectl --kubeconfig ${files.kubeconfig} --cache-dir ${files.directory}/cache ${command}`
}

export interface LiveFigures {
  readonly upMs: number
  readonly requests: number
  readonly wrong: number
  readonly beats: number
  readonly events: number
  readonly fault: string | undefined
  readonly snapshot: number
}

export function summaryLine({ upMs, requests, wrong, beats, events, fault, snapshot }: LiveFigures): string {
  const seconds = Math.floor(upMs / 1000)
  const up = `${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, '0')}`
  const answers = wrong === 0 ? 'each by the right tenant' : `${wrong} WRONG`
  return `up ${up} · ${requests} requests, ${answers} · watch of acme: ${events} events of ${beats} writes, ${fault ?? 'none missing'} · snapshot ${snapshot}`
}
