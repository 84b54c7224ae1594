// A tunnel for tests: gateways on ports of loopback, a store, and agents with a forwarder each.

import { once } from 'node:events'
import { createServer, type Server, type Socket } from 'node:net'
import { join } from 'node:path'
import type { Test } from 'tap'
import { createCa, type IssuedCertificate } from '../../src/cli/demo/certificates.ts'
import type { Endpoint } from '../../src/core/balance/endpoint.ts'
import type { Admission } from '../../src/core/limit/admission.ts'
import { SharedPace } from '../../src/core/limit/shared-pace.ts'
import type { SessionEnd } from '../../src/core/mux/limits.ts'
import { WindowBudget } from '../../src/core/mux/window.ts'
import type { SnapshotChangeOptions } from '../../src/core/snapshot-change.ts'
import type { TenantSpec } from '../../src/core/snapshot.ts'
import type { StreamSockets } from '../../src/core/tunnel/stream-sockets.ts'
import { FileStore } from '../../src/state/file/file-store.ts'
import { Identities } from '../../src/state/identities.ts'
import { Agent } from '../../src/tunnel/agent/agent.ts'
import type { ForwardedRecord, ReverseRecord } from '../../src/core/tunnel/agent-observer.ts'
import type { HttpProxy } from '../../src/tunnel/agent/http-proxy.ts'
import type { ClientCertificate } from '../../src/tunnel/agent/credentials.ts'
import type { EgressRecord } from '../../src/core/egress/egress-observer.ts'
import type { RefusedAnnouncement } from '../../src/core/tunnel/announcement.ts'
import type { ReverseOptions } from '../../src/tunnel/agent/reverse-streams.ts'
import { TunnelSide, type TunnelSideOptions } from '../../src/tunnel/gateway/tunnel-side.ts'
import type { DialledRecord, SessionFacts } from '../../src/core/tunnel/tunnel-observer.ts'
import { changeOf, endpoint, tenant } from '../support/config.ts'
import { startEcho, until, type Backend } from '../support/sockets.ts'
import { streamSockets } from '../support/stream-sockets.ts'

export const ca = createCa('tunnel CA')
const ownCertificate = ca.issue({ commonName: 'localhost', dnsNames: ['localhost'], usages: ['server'] })
export const serverCertificate = { certPem: ownCertificate.certificatePem, keyPem: ownCertificate.keyPem }

export interface TestGateway {
  readonly tunnel: TunnelSide
  readonly url: URL
  readonly started: (SessionFacts & { readonly enrolled: boolean })[]
  readonly changed: SessionFacts[]
  readonly ended: SessionEnd[]
  readonly refused: string[]
  /** Of refusals: what the log gets beside the reason. */
  readonly details: (string | undefined)[]
  readonly streams: DialledRecord[]
  readonly egress: EgressRecord[]
  /** Clients without a certificate. */
  readonly egressRefused: string[]
  readonly announcements: RefusedAnnouncement[]
  /** Refused before. */
  readonly holding: string[]
  /** Of links to other gateways: undefined: it is up; or why it is not. */
  readonly peerLinks: { readonly id: string; readonly why: string | undefined }[]
  /** Of accepted connections, to cut them. */
  readonly sockets: Set<Socket>
  /** Another may have its port; connections go on. */
  leavePort(): void
  close(): Promise<void>
}

export interface TestAgent {
  readonly agent: Agent
  readonly port: number
  readonly records: ForwardedRecord[]
  readonly reversed: ReverseRecord[]
  /** As the gateways told them. */
  readonly announcements: (readonly RefusedAnnouncement[])[]
  readonly refusals: string[]
  up(): Promise<void>
}

export interface Lab {
  /** Of the test: the store and the agents' keys are in it. */
  readonly directory: string
  readonly identities: Identities
  readonly echo: Backend
  token(usesMax?: number, tenantName?: string): Promise<string>
  gateway(options?: { readonly endpoints?: readonly Endpoint[]; readonly overrides?: Partial<TenantSpec>; readonly handshakesPerSecond?: number; readonly port?: number; readonly told?: readonly string[]; readonly certificate?: IssuedCertificate; readonly clientCaPem?: string; readonly handshakesMax?: number; readonly handshakeMsMax?: number; readonly peering?: TunnelSideOptions['peering']; readonly scheduling?: SnapshotChangeOptions; readonly admission?: Admission; readonly socketDriver?: StreamSockets }): Promise<TestGateway>
  agent(options: { readonly gateways: readonly URL[]; readonly sessions?: number; readonly token?: string | undefined; readonly node?: string; readonly caPem?: string; readonly proxy?: HttpProxy; readonly certificate?: () => ClientCertificate; readonly addresses?: readonly string[]; readonly reverse?: ReverseOptions }): Promise<TestAgent>
}

/** @param nodesMax @default the store's */
export async function tunnelLab(t: Test, { nodesMax }: { readonly nodesMax?: number } = {}): Promise<Lab> {
  const echo = await startEcho(t)
  const directory = t.testdir()
  const store = await FileStore.open(join(directory, 'state'))
  t.teardown(() => store.close())
  const identities = new Identities(store, Date.now, nodesMax)
  let [agents, gateways] = [0, 0]
  return {
    directory,
    identities,
    echo,
    token: async (usesMax = 1, tenantName = 'acme') => (await identities.createToken({ tenant: tenantName, ttlMs: 60_000, usesMax })).text,
    gateway: async ({ endpoints = [endpoint(echo.port)], overrides = {}, handshakesPerSecond = 100, port = 0, told = [], certificate = ownCertificate, clientCaPem, handshakesMax = 2_000, handshakeMsMax = 10_000, peering, scheduling = {}, admission, socketDriver = streamSockets } = {}) => {
      const seen = { started: [] as TestGateway['started'], changed: [] as SessionFacts[], ended: [] as SessionEnd[], refused: [] as string[], details: [] as (string | undefined)[], streams: [] as DialledRecord[], egress: [] as EgressRecord[], egressRefused: [] as string[], announcements: [] as RefusedAnnouncement[], holding: [] as string[], peerLinks: [] as TestGateway['peerLinks'][number][] }
      const tunnel = new TunnelSide({
        certificate: { certPem: certificate.certificatePem, keyPem: certificate.keyPem, ...(clientCaPem === undefined ? {} : { clientCaPem }) },
        ...(admission === undefined ? {} : { admission }),
        gateways: told, peering, threads: 1, scheduling, handshakesMax, handshakeMsMax, idPrefix: `test-${++gateways}.`, pace: new SharedPace({ ratePerSecond: handshakesPerSecond }), budget: new WindowBudget(), sockets: socketDriver,
        admit: async (claim) => await identities.admit(claim),
        isRevoked: async (keyId) => await identities.isRevoked(keyId),
        observer: {
          sessionStarted: (facts, enrolled) => seen.started.push({ ...facts, enrolled }),
          sessionChanged: (facts) => seen.changed.push(facts),
          sessionLeaving: () => undefined,
          sessionEnded: (_facts, end) => seen.ended.push(end),
          sessionRefused: (reason, { detail }) => {
            seen.refused.push(reason)
            seen.details.push(detail)
          },
          announcementRefused: (_facts, refused) => seen.announcements.push(refused),
          announcementHolds: (_facts, announced) => seen.holding.push(announced),
          peerLinkChanged: (id, why) => seen.peerLinks.push({ id, why }),
          streamEnded: (_facts, record) => seen.streams.push(record),
          egressEnded: (record) => seen.egress.push(record),
          egressRefused: (_entry, detail) => seen.egressRefused.push(detail),
          failed: (error) => t.fail(String(error)),
        },
      })
      tunnel.publish(changeOf({ tenants: [tenant('acme', endpoints, overrides)] }))
      const sockets = new Set<Socket>()
      const server: Server = createServer({ noDelay: true }, (socket) => {
        sockets.add(socket)
        socket.once('close', () => sockets.delete(socket))
        tunnel.take(socket)
      })
      server.listen(port, '127.0.0.1')
      await once(server, 'listening')
      const bound = server.address()
      if (bound === null || typeof bound === 'string') throw new Error('no port')
      const close = async (): Promise<void> => {
        server.close()
        await tunnel.stop()
      }
      t.teardown(close)
      return { tunnel, url: new URL(`wss://localhost:${bound.port}`), ...seen, sockets, leavePort: () => void server.close(), close }
    },
    agent: async ({ gateways, sessions, token, node = `node${++agents}`, caPem = ca.certificatePem, proxy, certificate, addresses, reverse }) => {
      const records: ForwardedRecord[] = []
      const refusals: string[] = []
      const reversed: ReverseRecord[] = []
      const announcements: (readonly RefusedAnnouncement[])[] = []
      const agent = new Agent({
        sockets: streamSockets, gateways, caPem, proxy, certificate, node, ...(addresses === undefined ? {} : { addresses }), ...(reverse === undefined ? {} : { reverse }), ...(sessions === undefined ? {} : { sessions }), token: () => token,
        stateDirectory: join(directory, node),
        forward: [{ listen: { address: '127.0.0.1', port: 0 } }],
        observer: {
          linkChanged: () => undefined,
          linkRefused: (_link, why) => refusals.push(why),
          announcementsRefused: ({ refusedAnnouncements }) => announcements.push(refusedAnnouncements),
          connectionEnded: (record) => records.push(record),
          reverseEnded: (record) => reversed.push(record),
        },
        failed: (error) => t.fail(String(error)),
      })
      t.teardown(async () => await agent.stop())
      const [bound] = await agent.start()
      return { agent, port: bound?.port ?? 0, records, reversed, announcements, refusals, up: async () => await until(() => agent.isUp) }
    },
  }
}
