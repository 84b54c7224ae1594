// The tunnel's sessions on several threads of a real gateway: shared, counted together, revoked, drained, and a thread that dies.

import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { test, type Test } from 'tap'
import { createCa } from '../../src/cli/demo/certificates.ts'
import { startGateway, type Gateway } from '../../src/gateway/gateway.ts'
import { createLogger } from '../../src/observe/log.ts'
import { FileStore } from '../../src/state/file/file-store.ts'
import { Identities } from '../../src/state/identities.ts'
import { Agent } from '../../src/tunnel/agent/agent.ts'
import { sessionsPerNodeMax } from '../../src/tunnel/gateway/session-registry.ts'
import { dial, readBytes, readToEnd, startEcho, until } from '../support/sockets.ts'

interface Place {
  readonly gateway: Gateway
  readonly identities: Identities
  readonly lines: Readonly<Record<string, unknown>>[]
  /** @returns the port that its forwarder listens on */
  readonly agent: (node: string, token: string) => Promise<{ readonly agent: Agent; readonly port: number }>
  readonly metric: (name: string) => Promise<number>
}

async function place(t: Test): Promise<Place> {
  const folder = t.testdir()
  mkdirSync(folder, { recursive: true })
  const ca = createCa('tunnel CA')
  const { certificatePem, keyPem } = ca.issue({ commonName: 'localhost', dnsNames: ['localhost'], usages: ['server'] })
  writeFileSync(join(folder, 'tunnel.crt'), certificatePem)
  writeFileSync(join(folder, 'tunnel.key'), keyPem)
  writeFileSync(join(folder, 'sluice.yaml'), `listeners: [{ address: "127.0.0.1:0" }]
relay: { driver: linux, workers: 1, warmUp: 0s }
defaults: { timeouts: { drainGrace: 0s, drain: 5s } }
tenants: [{ name: acme, hostnames: [acme.example.test], apiServer: { endpoints: [127.0.0.1:${(await startEcho(t)).port}] } }]
tunnel: { hostnames: [localhost], threads: 2, certificate: { certFile: tunnel.crt, keyFile: tunnel.key } }
state: { directory: state }
admin: { address: 127.0.0.1:0 }
`)
  const lines: Readonly<Record<string, unknown>>[] = []
  const logger = createLogger({ stream: { write: (text: string) => lines.push(...text.trimEnd().split('\n').map((line) => JSON.parse(line))) } })
  const gateway = await startGateway({ configFile: join(folder, 'sluice.yaml'), env: {}, logger })
  t.teardown(async () => await gateway.stop())
  const store = await FileStore.open(join(folder, 'state'))
  t.teardown(() => store.close())
  const url = new URL(`wss://localhost:${gateway.listeners[0]?.address.port}`)
  return {
    gateway, lines,
    identities: new Identities(store),
    agent: async (node, token) => {
      const agent = new Agent({
        gateways: [url], caPem: ca.certificatePem, node, token: () => token, stateDirectory: join(folder, node),
        forward: [{ address: '127.0.0.1', port: 0 }],
        observer: { linkChanged: () => undefined, linkRefused: () => undefined, connectionEnded: () => undefined },
        failed: (error) => t.fail(String(error)),
      })
      t.teardown(() => agent.stop())
      const [bound] = await agent.start()
      await until(() => agent.isUp)
      return { agent, port: bound?.port ?? 0 }
    },
    metric: async (name) => {
      const text = await (await fetch(`http://127.0.0.1:${gateway.adminAddress?.port}/metrics`)).text()
      return Number(new RegExp(`^${name.replaceAll(/[{}]/g, String.raw`\$&`)} (\\S+)$`, 'm').exec(text)?.[1])
    },
  }
}

const skip = process.platform === 'linux' ? false : 'the Linux driver hands descriptors over'

void test('sessions are shared by the threads and counted together', { skip }, async (t) => {
  const { identities, agent, metric, lines } = await place(t)
  const { text: token } = await identities.createToken({ tenant: 'acme', ttlMs: 60_000, usesMax: 10 })
  for (let node = 0; node < 4; node++) {
    const { port } = await agent(`node${node}`, token)
    const client = await dial(t, port, Buffer.from(`hello ${node}`))
    t.equal((await readBytes(client, 7)).toString(), `hello ${node}`)
  }
  t.equal(await metric('sluice_tunnel_sessions'), 4)
  t.equal(await metric('sluice_tunnel_streams'), 4)
  t.equal(await metric('sluice_tunnel_sessions_started_total{enrolled="true"}'), 4)
  const threads = lines.filter(({ msg }) => msg === 'tunnel session').map(({ id }) => /-(\d)\./.exec(String(id))?.[1])
  t.same(['0', '1'].map((thread) => threads.filter((each) => each === thread).length), [2, 2])
})

void test('a node has no more sessions than it may, over all threads, and is revoked on all', { skip }, async (t) => {
  const { identities, agent, metric, lines } = await place(t)
  const { text: token } = await identities.createToken({ tenant: 'acme', ttlMs: 60_000, usesMax: 1 })
  const many: Agent[] = []
  for (let count = 0; count <= sessionsPerNodeMax; count++) many.push((await agent('many', token)).agent)
  await until(() => lines.some(({ detail }) => detail === 'a newer session of the node takes its place'))
  t.ok(await metric('sluice_tunnel_sessions') <= sessionsPerNodeMax)
  const [node] = await identities.nodes()
  await identities.revokeNode(node?.keyId ?? '')
  await until(() => many.every(({ isUp }) => !isUp))
  while (await metric('sluice_tunnel_sessions') !== 0) await delay(20)
})

void test('a thread that dies loses its sessions alone; the agents come again', { skip }, async (t) => {
  const { gateway, identities, agent, metric, lines } = await place(t)
  const { text: token } = await identities.createToken({ tenant: 'acme', ttlMs: 60_000, usesMax: 2 })
  const ports = [(await agent('first', token)).port, (await agent('second', token)).port]
  const clients = await Promise.all(ports.map(async (port) => await dial(t, port, Buffer.from('x'))))
  await Promise.all(clients.map(async (client) => await readBytes(client, 1)))
  const ends = clients.map(async (client) => await readToEnd(client))
  await gateway.crashWorker()
  // Thread 0 was the first to get one.
  t.match(await ends[0], { how: 'ECONNRESET' })
  clients[1]?.write('still here')
  clients[1]?.end()
  t.equal((await ends[1])?.bytes.toString(), 'still here')
  t.ok(lines.some(({ error, msg }) => error === 'a crash that was asked for' && String(msg).includes('tunnel thread 0 died')))
  while (await metric('sluice_tunnel_sessions') !== 2) await delay(20)
  const again = await dial(t, ports[0] ?? 0, Buffer.from('again'))
  t.equal((await readBytes(again, 5)).toString(), 'again')
})

void test('a drain waits for the streams of all threads', { skip }, async (t) => {
  const { gateway, identities, agent } = await place(t)
  const { text: token } = await identities.createToken({ tenant: 'acme', ttlMs: 60_000, usesMax: 2 })
  const clients = await Promise.all(['first', 'second'].map(async (node) => await dial(t, (await agent(node, token)).port, Buffer.from('x'))))
  await Promise.all(clients.map(async (client) => await readBytes(client, 1)))
  let isDrained = false
  const drained = gateway.drain().then(() => {
    isDrained = true
    return undefined
  })
  for (const client of clients) {
    t.notOk(isDrained)
    client.write('last')
    t.equal((await readBytes(client, 4)).toString(), 'last')
    client.end()
    await readToEnd(client)
  }
  await drained
  t.ok(isDrained)
})
