// A real gateway in this process, with its tunnel and a store, and agents of it.

import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Test } from 'tap'
import { createCa } from '../../src/cli/demo/certificates.ts'
import { createLaneRelay } from '../../src/cli/agent/lane-relay.ts'
import type { ForwardedRecord } from '../../src/core/tunnel/agent-observer.ts'
import { startGateway, type Gateway } from '../../src/gateway/gateway.ts'
import { createLogger } from '../../src/observe/log.ts'
import { FileStore } from '../../src/state/file/file-store.ts'
import { Identities } from '../../src/state/identities.ts'
import { Agent } from '../../src/tunnel/agent/agent.ts'
import type { ReverseOptions } from '../../src/tunnel/agent/reverse-streams.ts'
import { keptLines } from './kept-lines.ts'
import { startEcho, until } from './sockets.ts'
import { streamSockets } from './stream-sockets.ts'

export interface TunnelPlace {
  readonly gateway: Gateway
  readonly configFile: string
  /** Of the gateway's configuration: another `egress`, for the next reload. */
  readonly writeEgress: (egress: string) => void
  readonly identities: Identities
  readonly caPem: string
  readonly lines: Readonly<Record<string, unknown>>[]
  /** @returns the port that its forwarder listens on */
  readonly agent: (node: string, token: string, gatewayPort?: number) => Promise<{ readonly agent: Agent; readonly port: number; readonly records: readonly ForwardedRecord[] }>
  readonly metric: (name: string) => Promise<number>
}

export interface TunnelPlaceOptions {
  readonly driver?: 'linux' | 'node'
  readonly threads?: number
  /** Of agents' listeners. */
  readonly lane?: 'mux' | 'direct' | 'auto'
  /** More of the gateway's `tunnel`. */
  readonly tunnel?: string
  /** Of the API server; absent: an echo. */
  readonly port?: number
  /** What agents dial for API servers. */
  readonly reverse?: ReverseOptions
  /** Of the tenant. @default rr */
  readonly scheduler?: string
}

export async function tunnelPlace(t: Test, { driver = 'linux', threads = 2, lane = 'mux', tunnel = '', port, reverse, scheduler = 'rr' }: TunnelPlaceOptions = {}): Promise<TunnelPlace> {
  const folder = t.testdir()
  mkdirSync(folder, { recursive: true })
  const ca = createCa('tunnel CA')
  const { certificatePem, keyPem } = ca.issue({ commonName: 'localhost', dnsNames: ['localhost'], usages: ['server'] })
  writeFileSync(join(folder, 'tunnel.crt'), certificatePem)
  writeFileSync(join(folder, 'tunnel.key'), keyPem)
  const endpoint = `127.0.0.1:${port ?? (await startEcho(t)).port}`
  const writeEgress = (egress: string): void => writeFileSync(join(folder, 'sluice.yaml'), `listeners: [{ address: "127.0.0.1:0" }]
relay: { driver: ${driver}, workers: 1, warmUp: 0s }
defaults: { timeouts: { drainGrace: 0s, drain: 5s } }
tenants: [{ name: acme, hostnames: [acme.example.test], apiServer: { endpoints: [${endpoint}] }, scheduler: ${scheduler}, health: { kind: none } }]
tunnel: { hostnames: [localhost], threads: ${threads}, ${tunnel}certificate: { certFile: tunnel.crt, keyFile: tunnel.key } }
egress: [${egress}]
state: { directory: state }
admin: { address: 127.0.0.1:0 }
`)
  writeEgress('')
  const { lines, stream } = keptLines()
  const logger = createLogger({ stream })
  const configFile = join(folder, 'sluice.yaml')
  const gateway = await startGateway({ configFile, env: {}, logger })
  t.teardown(async () => await gateway.stop())
  const store = await FileStore.open(join(folder, 'state'))
  t.teardown(() => store.close())
  const url = new URL(`wss://localhost:${gateway.listeners[0]?.address.port}`)
  return {
    gateway, configFile, lines, writeEgress,
    caPem: ca.certificatePem,
    identities: new Identities(store),
    agent: async (node, token, gatewayPort) => {
      const records: ForwardedRecord[] = []
      const agent = new Agent({
        sockets: streamSockets,
        gateways: [gatewayPort === undefined ? url : new URL(`wss://localhost:${gatewayPort}`)], caPem: ca.certificatePem, node, token: () => token, stateDirectory: join(folder, node),
        forward: [{ listen: { address: '127.0.0.1', port: 0 }, lane }],
        ...(reverse === undefined ? {} : { addresses: ['127.0.0.1'], reverse }),
        createLaneRelay: async (events) => await createLaneRelay(events, logger),
        observer: { linkChanged: () => undefined, linkRefused: () => undefined, announcementsRefused: () => undefined, reverseEnded: () => undefined, connectionEnded: (record) => records.push(record) },
        failed: (error) => t.fail(String(error)),
      })
      t.teardown(async () => await agent.stop())
      const [bound] = await agent.start()
      await until(() => agent.isUp)
      return { agent, port: bound?.port ?? 0, records }
    },
    metric: async (name) => {
      const text = await (await fetch(`http://127.0.0.1:${gateway.adminAddress?.port}/metrics`)).text()
      return Number(new RegExp(`^${name.replaceAll(/[{}]/g, String.raw`\$&`)} (\\S+)$`, 'm').exec(text)?.[1])
    },
  }
}
