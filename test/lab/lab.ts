// The lab: three gateways that have one configuration, four admin nodes, fifty tenants with a NodePort each, and two hosts of clients.
//
//   kubectl, laptop ─▶ the place ─┬─▶ gateway 1 (linux) ─┐
//                                 ├─▶ gateway 2 (lane)  ─┼─▶ any admin node, NodePort 30001 to 30050
//                                 └─▶ gateway 3 (node)  ─┘
//
// The second has all that it can in the kernel lane, where the system allows one.
//
// All in network namespaces of their own, so what happens to a host's network happens to that host. Timeouts are short, and bounds that
// follow from them too; those that nobody can set are the product's own.

import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { createCa } from '../../src/cli/demo/certificates.ts'
import { LaneMaps } from '../../src/relay/linux/kernel-lane/lane-maps.ts'
import { createLabFolder } from '../kubernetes/lab-folder.ts'
import { AdminNode } from './admin-node.ts'
import { Client } from './client.ts'
import { gatewayPort, LabGateway } from './gateway.ts'
import { placeAddress, Segment } from './segment.ts'

export const tenantsCount = 50
const firstNodePort = 30_001
const domain = 'k8s.example.test'
/** Of a lane that is made to see whether there can be one. */
const lanePlaces = 32

export const timeouts = { helloMs: 2_000, connectMs: 700, answerMs: 1_000, attempts: 3 } as const
/** As connections; the first tenant, whose API servers can be stopped, is asked whether it is ready. */
export const health = { intervalMs: 2_000, timeoutMs: 1_000, fall: 2, rise: 2 } as const
/** What a client waits at the most until it is answered by an API server, or told why not. */
export const answerBoundMs = timeouts.attempts * (timeouts.connectMs + timeouts.answerMs)
/** For an API server whose host has vanished, and for a client (docs/failures.md). */
export const vanishedBoundMs = 15_000
export const vanishedClientBoundMs = 75_000

export const place = { address: placeAddress, port: gatewayPort } as const

export interface Lab {
  readonly segment: Segment
  readonly gateways: readonly LabGateway[]
  readonly nodes: readonly AdminNode[]
  readonly kubectl: Client
  /** On a host that may vanish. */
  readonly laptop: Client
  readonly logTails: () => Promise<string>
  readonly stop: () => Promise<void>
}

/** @param tenant 0 to 49 */
export function serverNameOf(tenant: number): string {
  return `tenant-${tenant}.${domain}`
}

export function nodePortOf(tenant: number): number {
  return firstNodePort + tenant
}

export async function startLab(): Promise<Lab> {
  const { directory, remove } = await createLabFolder()
  const stops: (() => Promise<void> | void)[] = [remove]
  const stop = async (): Promise<void> => {
    for (const each of stops.toReversed()) await each()
  }
  try {
    const segment = new Segment({ gateways: 3, nodes: 4, clients: 2 })
    stops.push(() => segment.close())
    const ca = createCa('lab CA')
    const { certificatePem, keyPem } = ca.issue({ commonName: domain, dnsNames: [`*.${domain}`], usages: ['server'] })
    const [certFile, keyFile] = [join(directory, 'serving.crt'), join(directory, 'serving.key')]
    writeFileSync(certFile, certificatePem)
    writeFileSync(keyFile, keyPem, { mode: 0o600 })
    const ports = Array.from({ length: tenantsCount }, (_, tenant) => nodePortOf(tenant))
    const nodes = await Promise.all(segment.nodes.map(async (host) => {
      const node = await AdminNode.start({ host, directory, ports, certFile, keyFile })
      stops.push(async () => await node.stop())
      return node
    }))
    const config = configText(segment.nodes.map(({ address }) => address))
    const relays = ['linux', canHaveLane() ? 'kernel lane' : 'linux', 'node'] as const
    const gateways = await Promise.all(segment.gateways.map(async (host, index) => {
      const gateway = await LabGateway.start({ host, directory, config, relay: relays[index] ?? 'linux' })
      stops.push(async () => await gateway.kill())
      return gateway
    }))
    const [kubectl, laptop] = segment.clients.map((host, index) => new Client({ host, index, caPem: ca.certificatePem }))
    if (kubectl === undefined || laptop === undefined) throw new Error('unreachable')
    const logTails = async (): Promise<string> => (await Promise.all([...gateways, ...nodes].map(async (each) => await each.logTail()))).join('\n')
    return { segment, gateways, nodes, kubectl, laptop, logTails, stop }
  } catch (error) {
    await stop()
    throw error
  }
}

function canHaveLane(): boolean {
  try {
    new LaneMaps(lanePlaces).close()
    return true
  } catch {
    return false
  }
}

function configText(nodes: readonly string[]): string {
  const { helloMs, connectMs, answerMs, attempts } = timeouts
  return `pools: { admin: { addresses: [${nodes.join(', ')}] } }
defaults:
  timeouts: { hello: ${helloMs}ms, connect: ${connectMs}ms, answer: ${answerMs}ms, drainGrace: 0s }
  retries: { attempts: ${attempts} }
  health: { kind: tcp, interval: ${health.intervalMs}ms, timeout: ${health.timeoutMs}ms, fall: ${health.fall}, rise: ${health.rise}, slowStart: 0s }
tenants:
${Array.from({ length: tenantsCount }, (_, tenant) => `  - name: tenant-${tenant}
    hostnames: [${serverNameOf(tenant)}]
    apiServer: { pool: admin, nodePort: ${nodePortOf(tenant)} }
${tenant === 0 ? '    health: { kind: readyz }\n' : ''}`).join('')}`
}
