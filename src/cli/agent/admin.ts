// An agent's admin address: health, readiness, metrics and status. Loaded only where one is configured: metrics cost memory.

import { formatSocketAddress, type SocketAddress } from '../../core/net/socket-address.ts'
import type { AgentObserver } from '../../core/tunnel/agent-observer.ts'
import { agentStatus, type AgentFacts, type AgentStatus } from '../../core/tunnel/agent-status.ts'
import { createAdminServer } from '../../observe/admin/server.ts'
import { AgentMetrics } from '../../observe/agent-metrics.ts'
import type { Logger } from '../../observe/log.ts'

export interface AgentAdminOptions {
  readonly address: SocketAddress
  /** Asked at each request. */
  readonly facts: () => Omit<AgentFacts, 'time'>
  readonly logger: Logger
}

export interface AgentAdmin {
  readonly observer: AgentObserver
  /** @throws an error that names the address */
  listen(): Promise<SocketAddress>
  close(): Promise<void>
}

export function createAgentAdmin({ address, facts, logger }: AgentAdminOptions): AgentAdmin {
  const metrics = new AgentMetrics({ version: facts().version, sources: { links: () => facts().links, forwards: () => facts().forwards, reverse: () => facts().reverse } })
  const status = (): AgentStatus => agentStatus({ ...facts(), time: (ms) => new Date(performance.timeOrigin + ms).toISOString() })
  const server = createAdminServer({ kind: 'address', address }, {
    readyWhen: '200 while a session is up, 503 while none is',
    readiness: () => status().ready ? { kind: 'ready' } : { kind: 'not-ready', reason: 'no-session' },
    metrics,
    routes: [{ method: 'GET', path: '/v1/status', access: 'open', summary: 'sessions and listeners', answer: () => ({ status: 200, value: status() }) }],
    failed: (error, context) => logger.error({ error: error.message }, context),
  })
  return {
    observer: metrics,
    listen: async () => {
      try {
        return await server.listen() ?? address
      } catch (error) {
        throw new Error(`admin.address: ${formatSocketAddress(address)} can't be bound: ${error instanceof Error ? error.message : String(error)}`, { cause: error })
      }
    },
    close: async () => await server.close(),
  }
}
