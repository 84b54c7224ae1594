// A rolling restart of a tenant's two API servers, which are on two admin nodes and checked by their /readyz: whoever watches by kubectl connects anew
// when the API server that it is on goes, once, to one that is ready; and no request fails meanwhile.
//
//   kubectl wait ─┐                ┌─▶ kube-apiserver 127.0.0.11:port ─┐
//   kubectl wait ─┼─▶ gateway ─────┤                                   ├─▶ etcd
//   requests ─────┘                └─▶ kube-apiserver 127.0.0.12:port ─┘
//
// `kubectl wait` watches as controllers and kubelets do, by client-go's reflector; `kubectl get --watch` ends with its connection. An API server that is
// told to end says so at /readyz, and goes on for --shutdown-delay-duration: long enough for the checks to see it.

import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { test, type Test } from 'tap'
import { freePort } from '../../bench/free-port.ts'
import { ApiServer } from './api-server.ts'
import { labBinaries, type LabBinaries } from './binaries.ts'
import { adminRequest, configMapPath, namespace } from './edge.ts'
import { Etcd } from './etcd.ts'
import { GatewayProcess } from './gateway-process.ts'
import { Kubectl, type RunningKubectl } from './kubectl.ts'
import { createLabFolder } from './lab-folder.ts'

const tenant = 'acme'
const hostname = 'acme.k8s.example.test'
const addresses = ['127.0.0.11', '127.0.0.12'] as const
/** Noticed by the second of two checks, which come each second. */
const health = '{ kind: readyz, interval: 1s, timeout: 1s, fall: 2, rise: 1, slowStart: 0s }'
const shutdownDelaySeconds = 15
const exitTimeoutMs = 90_000
const requestIntervalMs = 50
const requestsWhileDraining = 20
/** Most begin where the one before did not. */
const watchersMax = 10

interface Plane {
  readonly servers: readonly [ApiServer, ApiServer]
  readonly gateway: GatewayProcess
  readonly kubectl: Kubectl
}

interface Watcher {
  /** Of the ConfigMap that it waits for. */
  readonly name: string
  readonly kubectl: RunningKubectl
  /** Which of the API servers it was on at first. */
  readonly server: ApiServer
}

void test('kubectl watches through a rolling restart of its API servers', { skip: process.platform !== 'linux' && '127.0.0.11 is Linux’s' }, async (t) => {
  const plane = await startPlane(t, await labBinaries((line) => process.stderr.write(`${line}\n`)))
  const { servers, gateway } = plane
  const [first, last] = servers
  await gatewayRequest(plane, 'POST', '/api/v1/namespaces', { metadata: { name: namespace } })
  const watchers = [await watcherOn(t, plane, first), await watcherOn(t, plane, last)]

  const over = new AbortController()
  const failures = requestsUntil(plane, over.signal)
  for (const server of servers) {
    server.beginStop()
    await seen(async () => (await server.request('/readyz')).status === 500)
    await seen(async () => await gateway.endpointsDown() === 1)
    t.equal((await server.request('/version')).status, 200, 'what is not ready any more still serves, and is down for the gateway')
    const sinceMs = Date.now()
    for (let request = 0; request < requestsWhileDraining; request += 1) await gatewayRequest(plane, 'GET', '/version')
    await seen(async () => (await gateway.connectionsSince(sinceMs)).length >= requestsWhileDraining)
    const other = servers.find((each) => each !== server)
    t.same(new Set((await gateway.connectionsSince(sinceMs)).map(({ endpoint, attempts }) => `${endpoint} at attempt ${attempts}`)), new Set([`${other?.address}:${other?.port} at attempt 1`]), 'new connections go to the other one')
    await server.waitForExit(exitTimeoutMs)
    await server.start()
    await seen(async () => await gateway.endpointsDown() === 0)
    // What has just started knows of no change before: who watches on from an older one is told to list again, whichever way he came (410 Gone).
    for (const { name } of watchers) await gatewayRequest(plane, 'PATCH', configMapPath(name), { data: { after: server.address } })
  }
  over.abort()
  t.same(await failures, [], 'no request failed')

  for (const { name, kubectl, server } of watchers) {
    await gatewayRequest(plane, 'PATCH', configMapPath(name), { data: { state: 'over' } })
    await kubectl.exited
    t.equal(kubectl.code, 0, 'it has seen what it waited for')
    const events = await Promise.all(servers.map(async (each) => await each.watchEvents(name)))
    const begun = events.map((each) => each.filter(({ stage }) => stage === 'ResponseStarted').length)
    // Who was on the first was led to the other, which was restarted next.
    t.same(begun, server === first ? [2, 1] : [1, 1], `its watches: on the ${server === first ? 'first' : 'last'} at first`, { events })
  }
})

async function startPlane(t: Test, binaries: LabBinaries): Promise<Plane> {
  const { directory, remove } = await createLabFolder()
  const stops: (() => Promise<void>)[] = [remove]
  const logTails: (() => Promise<string>)[] = []
  t.teardown(async () => {
    if (!t.passing()) for (const tail of logTails) process.stderr.write(`${await tail()}\n`)
    for (const stop of stops.toReversed()) await stop()
  })
  const etcd = await Etcd.start({ executable: binaries.etcd, directory: join(directory, 'etcd'), tenants: [tenant] })
  stops.push(async () => await etcd.stop())
  const port = await freePort()
  const create = async (address: string, replicaOf?: ApiServer): Promise<ApiServer> => {
    const server = await ApiServer.create({
      tenant, hostname, executable: binaries.kubeApiserver, directory: join(directory, address), etcd: await etcd.access(tenant),
      listen: { address, port }, shutdownDelaySeconds, ...(replicaOf === undefined ? {} : { replicaOf }),
    })
    stops.push(async () => await server.kill())
    logTails.push(async () => await server.logTail())
    await server.start()
    return server
  }
  const first = await create(addresses[0])
  const last = await create(addresses[1], first)
  const gateway = await GatewayProcess.start({ directory, driver: 'linux', config: { routes: [{ tenant, hostname, port, addresses }], health } })
  stops.push(async () => await gateway.stop())
  logTails.push(async () => await gateway.logTail())
  const kubectl = await Kubectl.create({ executable: binaries.kubectl, directory, port: gateway.port, serverName: hostname, caPem: first.caPem, client: first.admin })
  return { servers: [first, last], gateway, kubectl }
}

/** One whose watch that API server has. */
async function watcherOn(t: Test, plane: Plane, server: ApiServer): Promise<Watcher> {
  for (let watcher = 0; watcher < watchersMax; watcher += 1) {
    const name = `watched-${server.address.replaceAll('.', '-')}-${watcher}`
    await gatewayRequest(plane, 'POST', configMapPath(''), { metadata: { name }, data: { state: 'running' } })
    const kubectl = plane.kubectl.start('wait', `configmap/${name}`, `--namespace=${namespace}`, '--for=jsonpath={.data.state}=over', '--timeout=10m')
    t.teardown(async () => await kubectl.stop())
    let on: ApiServer | undefined
    await seen(async () => {
      for (const each of plane.servers) if ((await each.watchStages(name)).length > 0) on = each
      return on !== undefined
    })
    if (on === server) return { name, kubectl, server }
  }
  throw new Error(`of ${watchersMax} none was on ${server.address}`)
}

/** @returns what failed of it */
async function requestsUntil(plane: Plane, signal: AbortSignal): Promise<readonly string[]> {
  const failures: string[] = []
  while (!signal.aborted) {
    await gatewayRequest(plane, 'GET', '/api/v1/namespaces').catch((error: unknown) => failures.push(String(error)))
    await delay(requestIntervalMs)
  }
  return failures
}

/** On a connection of its own. @throws unless it succeeds */
async function gatewayRequest({ servers: [server], gateway }: Plane, method: string, path: string, body?: unknown): Promise<void> {
  const { status, body: text } = await adminRequest(server, { port: gateway.port, method, path, ...(body === undefined ? {} : { body }) })
  if (status >= 300) throw new Error(`${method} ${path}: ${status} ${text}`)
}

/** The test's own timeout is the bound. */
async function seen(isSo: () => Promise<boolean>): Promise<void> {
  while (!await isSo()) await delay(requestIntervalMs)
}
