// Real control planes instead of simulated ones: one etcd with client certificates, and one kube-apiserver a tenant with
// its own prefix there, its own authority and its own loopback port. What hosted clusters look like, without the pods.

import { generateKeyPairSync } from 'node:crypto'
import { access, constants, mkdir, writeFile } from 'node:fs/promises'
import { once } from 'node:events'
import { request } from 'node:https'
import { createServer } from 'node:net'
import { delimiter, join } from 'node:path'
import { createCa } from './certificates.ts'
import { DemoError } from './demo-error.ts'
import { loopback } from './layout.ts'
import { ServerProcess } from './server-process.ts'
import type { Tenant } from './tenant.ts'

const etcdReadyTimeoutMs = 30_000
/** Eight seconds on an idle machine; three start at once. */
const apiServerReadyTimeoutMs = 120_000
const probeTimeoutMs = 5_000

export interface KubernetesBinaries {
  readonly etcd: string
  readonly kubeApiserver: string
}

/** @throws {DemoError} that names what is missing */
export async function findKubernetesBinaries(env: Readonly<Record<string, string | undefined>>): Promise<KubernetesBinaries> {
  const [etcd, kubeApiserver] = await Promise.all([findOnPath('etcd', env), findOnPath('kube-apiserver', env)])
  if (etcd !== undefined && kubeApiserver !== undefined) return { etcd, kubeApiserver }
  const missing = [...(etcd === undefined ? ['etcd'] : []), ...(kubeApiserver === undefined ? ['kube-apiserver'] : [])]
  throw new DemoError('not-on-path', `--kubernetes needs ${missing.join(' and ')} on PATH; \
without --kubernetes the demo simulates the API servers and needs neither`)
}

async function findOnPath(program: string, env: Readonly<Record<string, string | undefined>>): Promise<string | undefined> {
  for (const directory of (env['PATH'] ?? '').split(delimiter)) {
    if (directory === '') continue
    const path = join(directory, program)
    const executable = await access(path, constants.X_OK).then(() => true, () => false)
    if (executable) return path
  }
  return undefined
}

/** What is running, to be stopped from the last to the first: an API server without its store takes long to end. */
export interface ControlPlanes {
  stop(): Promise<void>
}

export async function startControlPlanes({ binaries, tenants, directory, env, signal }: {
  binaries: KubernetesBinaries
  tenants: readonly Tenant[]
  directory: string
  env: Readonly<Record<string, string | undefined>>
  signal: AbortSignal
}): Promise<ControlPlanes> {
  const running: ServerProcess[] = []
  const stop = async (): Promise<void> => {
    const [etcd, ...apiServers] = running
    await Promise.all(apiServers.map(server => server.stop()))
    await etcd?.stop()
  }
  try {
    const childEnv = { PATH: env['PATH'], HOME: directory }
    const store = await createStore({ executable: binaries.etcd, directory, env: childEnv })
    running.push(store.process)
    await store.process.waitUntilReady({ timeoutMs: etcdReadyTimeoutMs, signal }, store.isHealthy)
    const apiServers = await Promise.all(tenants.map(tenant => apiServerProcess({
      tenant,
      executable: binaries.kubeApiserver,
      env: childEnv,
      storeArguments: store.clientArguments,
    })))
    running.push(...apiServers)
    await Promise.all(apiServers.map((server, index) => {
      const tenant = tenants[index]
      if (tenant === undefined) throw new Error('bug: an API server without its tenant')
      const { hostname, port, ca, admin } = tenant
      const target = { port, servername: hostname, ca: ca.certificatePem, cert: admin.certificatePem, key: admin.keyPem }
      // Ready, roles included, and with the namespace that the demo writes to.
      const ready = async (): Promise<boolean> =>
        await answers200({ ...target, path: '/readyz' }) && await answers200({ ...target, path: '/api/v1/namespaces/default' })
      return server.waitUntilReady({ timeoutMs: apiServerReadyTimeoutMs, signal }, ready)
    }))
    return { stop }
  } catch (error) {
    await stop()
    throw error
  }
}

interface Store {
  readonly process: ServerProcess
  /** kube-apiserver's --etcd-… flags, but for the prefix. */
  readonly clientArguments: readonly string[]
  readonly isHealthy: () => Promise<boolean>
}

async function createStore({ executable, directory, env }: {
  executable: string
  directory: string
  env: NodeJS.ProcessEnv
}): Promise<Store> {
  const folder = join(directory, 'etcd')
  const file = (name: string): string => join(folder, name)
  const ca = createCa('etcd CA')
  const server = ca.issue({ commonName: 'etcd', dnsNames: ['localhost'], ipAddresses: [loopback], usages: ['server', 'client'] })
  const client = ca.issue({ commonName: 'kube-apiserver', usages: ['client'] })
  await mkdir(folder, { mode: 0o700 })
  await Promise.all(Object.entries({
    'ca.crt': ca.certificatePem,
    'server.crt': server.certificatePem,
    'server.key': server.keyPem,
    'client.crt': client.certificatePem,
    'client.key': client.keyPem,
  }).map(([name, text]) => writeFile(file(name), text, { mode: 0o600 })))

  const [port, peerPort] = [await freePort(), await freePort()]
  const clientUrl = `https://${loopback}:${port}`
  const peerUrl = `https://${loopback}:${peerPort}`
  const process_ = new ServerProcess({
    name: 'etcd',
    executable,
    env,
    logFile: file('etcd.log'),
    arguments_: [
      '--name=demo',
      `--data-dir=${file('data')}`,
      `--listen-client-urls=${clientUrl}`,
      `--advertise-client-urls=${clientUrl}`,
      `--listen-peer-urls=${peerUrl}`,
      `--initial-advertise-peer-urls=${peerUrl}`,
      `--initial-cluster=demo=${peerUrl}`,
      ...['', 'peer-'].flatMap(side => [
        `--${side}cert-file=${file('server.crt')}`,
        `--${side}key-file=${file('server.key')}`,
        `--${side}trusted-ca-file=${file('ca.crt')}`,
        `--${side}client-cert-auth`,
      ]),
      // The store lives as long as the demo: durability would only slow it down.
      '--unsafe-no-fsync',
    ],
  })
  return {
    process: process_,
    clientArguments: [
      `--etcd-servers=${clientUrl}`,
      `--etcd-cafile=${file('ca.crt')}`,
      `--etcd-certfile=${file('client.crt')}`,
      `--etcd-keyfile=${file('client.key')}`,
    ],
    isHealthy: async () => await answers200({
      port,
      servername: 'localhost',
      ca: ca.certificatePem,
      cert: client.certificatePem,
      key: client.keyPem,
      path: '/health',
    }),
  }
}

async function apiServerProcess({ tenant, executable, env, storeArguments }: {
  tenant: Tenant
  executable: string
  env: NodeJS.ProcessEnv
  storeArguments: readonly string[]
}): Promise<ServerProcess> {
  const { files, hostname, name, port } = tenant
  const serviceAccountKey = join(files.directory, 'service-account.key')
  const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  await writeFile(serviceAccountKey, privateKey.export({ type: 'sec1', format: 'pem' }), { mode: 0o600 })
  return new ServerProcess({
    name: `kube-apiserver of ${name}`,
    executable,
    env,
    logFile: join(files.directory, 'kube-apiserver.log'),
    arguments_: [
      ...storeArguments,
      `--etcd-prefix=/tenants/${name}`,
      `--bind-address=${loopback}`,
      `--secure-port=${port}`,
      // A documentation address (RFC 5737): loopback is refused here, and without a reconciler nobody learns it.
      '--advertise-address=192.0.2.1',
      '--endpoint-reconciler-type=none',
      `--external-hostname=${hostname}`,
      `--tls-cert-file=${files.servingCertificate}`,
      `--tls-private-key-file=${files.servingKey}`,
      `--client-ca-file=${files.ca}`,
      `--service-account-issuer=https://${hostname}`,
      `--service-account-key-file=${serviceAccountKey}`,
      `--service-account-signing-key-file=${serviceAccountKey}`,
      '--service-cluster-ip-range=10.96.0.0/16',
      '--authorization-mode=Node,RBAC',
    ],
  })
}

async function answers200(options: { port: number; servername: string; ca: string; cert: string; key: string; path: string }): Promise<boolean> {
  return await new Promise(resolve => {
    const outgoing = request({ host: loopback, agent: false, timeout: probeTimeoutMs, ...options })
    outgoing.once('timeout', () => outgoing.destroy())
    // Not up yet, or not for us yet: asked again until the deadline.
    outgoing.once('error', () => resolve(false))
    outgoing.once('response', incoming => {
      incoming.resume().once('close', () => resolve(incoming.statusCode === 200))
    })
    outgoing.end()
  })
}

/** For etcd, which can't be given port 0 and asked afterwards. */
async function freePort(): Promise<number> {
  const server = createServer().listen(0, loopback)
  await once(server, 'listening')
  const address = server.address()
  server.close()
  await once(server, 'close')
  if (address === null || typeof address === 'string') throw new Error('bug: a TCP server has no port')
  return address.port
}
