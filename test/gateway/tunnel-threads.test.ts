// The tunnel's sessions on several threads of a real gateway: shared, counted together, revoked, drained, and a thread that dies.

import { once } from 'node:events'
import { readFileSync, writeFileSync } from 'node:fs'
import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { connect } from 'node:tls'
import { test } from 'tap'
import type { Agent } from '../../src/tunnel/agent/agent.ts'
import { sessionsPerNodeMax } from '../../src/tunnel/gateway/session-registry.ts'
import { buildClientHello } from '../core/tls/hello-builder.ts'
import { dial, readBytes, readToEnd, startEcho, until } from '../support/sockets.ts'
import { tunnelPlace } from '../support/tunnel-place.ts'
import { openSocket } from '../tunnel/egress-lab.ts'
import { socketFolder } from '../support/socket-folder.ts'

const skip = process.platform === 'linux' ? false : 'the Linux driver hands descriptors over'

void test('sessions are shared by the threads and counted together', { skip }, async (t) => {
  const { identities, agent, metric, lines } = await tunnelPlace(t)
  const { text: token } = await identities.createToken({ tenant: 'acme', ttlMs: 60_000, usesMax: 10 })
  for (let node = 0; node < 4; node++) {
    const { port } = await agent(`node${node}`, token)
    const client = await dial(t, port, Buffer.from(`hello ${node}`))
    t.equal((await readBytes(client, 7)).toString(), `hello ${node}`)
  }
  t.equal(await metric('sluice_tunnel_sessions'), 4)
  t.equal(await metric('sluice_tunnel_streams'), 4)
  t.equal(await metric('sluice_tunnel_handshakes'), 0, 'sessions are not timed any more')
  t.equal(await metric('sluice_tunnel_sessions_started_total{enrolled="true"}'), 4)
  const threads = lines.filter(({ msg }) => msg === 'tunnel session').map(({ id }) => /-(\d)\./.exec(String(id))?.[1])
  t.same(['0', '1'].map((thread) => threads.filter((each) => each === thread).length), [2, 2])
})

void test('no second sees more sessions begin than may, over all threads', { skip }, async (t) => {
  const [agents, handshakesPerSecond] = [12, 4]
  const { identities, agent, metric, lines } = await tunnelPlace(t, { tunnel: `handshakesPerSecond: ${handshakesPerSecond}, ` })
  const { text: token } = await identities.createToken({ tenant: 'acme', ttlMs: 60_000, usesMax: agents })
  await Promise.all(Array.from({ length: agents }, async (_, node) => await agent(`node${node}`, token)))
  const begun = (): readonly number[] => lines.filter(({ msg }) => msg === 'tunnel session').map(({ sinceMs }) => Number(sinceMs))
  await until(() => begun().length === agents)
  const begunMs = begun().toSorted((one, other) => one - other)
  t.same(begunMs.filter((firstMs, index) => (begunMs[index + handshakesPerSecond] ?? Infinity) - firstMs < 1_000), [])
  t.ok(await metric('sluice_tunnel_sessions_refused_total{reason="paced"}') > 0, 'they had come faster')
})

void test('a node has no more sessions than it may, over all threads, and is revoked on all', { skip }, async (t) => {
  const { identities, agent, metric, lines } = await tunnelPlace(t)
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
  const { gateway, identities, agent, metric, lines } = await tunnelPlace(t)
  const { text: token } = await identities.createToken({ tenant: 'acme', ttlMs: 60_000, usesMax: 2 })
  const ports = [(await agent('first', token)).port, (await agent('second', token)).port]
  const clients = await Promise.all(ports.map(async (port) => await dial(t, port, Buffer.from('x'))))
  await Promise.all(clients.map(async (client) => await readBytes(client, 1)))
  const ends = clients.map(async (client) => await readToEnd(client))
  const framesBefore = await metric('sluice_tunnel_frames_total{direction="received"}')
  t.equal(await metric('sluice_tunnel_streams_accepted_total'), 2)
  await gateway.crashWorker()
  // Thread 0 was the first to get one.
  t.match(await ends[0], { how: 'ECONNRESET' })
  clients[1]?.write('still here')
  clients[1]?.end()
  t.equal((await ends[1])?.bytes.toString(), 'still here')
  await until(() => lines.some(({ error, msg }) => error === 'a crash that was asked for' && String(msg).includes('tunnel thread 0 died')))
  while (await metric('sluice_tunnel_sessions') !== 2) await delay(20)
  t.equal(await metric('sluice_tunnel_streams_accepted_total'), 2, 'what a thread had counted is not lost with it')
  t.ok(await metric('sluice_tunnel_frames_total{direction="received"}') >= framesBefore)
  const again = await dial(t, ports[0] ?? 0, Buffer.from('again'))
  t.equal((await readBytes(again, 5)).toString(), 'again')
})

void test('edge connections and streams of all threads are counted together, over a reload, and those of a thread that dies are not', { skip }, async (t) => {
  const [one, two] = [await startEcho(t), await startEcho(t)]
  const { gateway, configFile, identities, agent, metric, lines } = await tunnelPlace(t, { port: one.port, scheduler: 'lc' })
  const { text: token } = await identities.createToken({ tenant: 'acme', ttlMs: 60_000, usesMax: 2 })
  const { port: first } = await agent('first', token)
  const { port: second } = await agent('second', token)
  const hello = buildClientHello({ serverName: 'acme.example.test' })
  const open = async (port: number): Promise<void> => void await readBytes(await dial(t, port, hello), hello.length)
  const opened = (): number[] => [one, two].map(({ sockets }) => sockets.length)
  for (let stream = 0; stream < 4; stream++) await open(first)
  writeFileSync(configFile, readFileSync(configFile, 'utf8').replace(`127.0.0.1:${one.port}`, `127.0.0.1:${one.port}, 127.0.0.1:${two.port}`))
  t.match(await gateway.reload('test'), { kind: 'reloaded' })
  await open(second)
  await open(gateway.listeners[0]?.address.port ?? 0)
  t.same(opened(), [4, 2], 'the new endpoint is the emptiest for all of them')
  // Thread 0, which has the four, and the edge's worker.
  await gateway.crashWorker()
  await until(() => lines.some(({ msg }) => String(msg).includes('tunnel thread 0 died')))
  while (await metric('sluice_tunnel_sessions') !== 2) await delay(20)
  await open(second)
  t.same(opened(), [5, 2], 'one is on the other one, and none here')
})

void test('a reload while a thread is dead: its successor opens what is to be', { skip }, async (t) => {
  const { gateway, writeEgress, lines } = await tunnelPlace(t, { threads: 1 })
  const folder = await socketFolder(t)
  const entry = (name: string): string => `{ tenant: acme, socket: ${join(folder, name)} }`
  // With each death in a row it is left dead for longer.
  for (const names of [['a.sock'], ['a.sock', 'b.sock'], ['b.sock'], ['c.sock']]) {
    await gateway.crashWorker()
    writeEgress(names.map(entry).join(', '))
    t.match(await gateway.reload('a test'), { kind: 'reloaded' })
    while ((await readdir(folder)).join(' ') !== names.join(' ')) await delay(20)
    for (const name of names) await openSocket(t, join(folder, name))
  }
  t.notOk(lines.some(({ msg }) => String(msg).includes('could not open its egress')))
})

void test('a drain waits for the streams of all threads', { skip }, async (t) => {
  const { gateway, identities, agent } = await tunnelPlace(t)
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

void test('a TLS session that began on one thread is resumed on the other', { skip }, async (t) => {
  const { gateway, caPem } = await tunnelPlace(t)
  const resumed: boolean[] = []
  let session: Buffer | undefined
  for (let count = 0; count < 4; count++) {
    const tls = connect({ host: '127.0.0.1', port: gateway.listeners[0]?.address.port ?? 0, servername: 'localhost', ca: caPem, ...(session === undefined ? {} : { session }) })
    t.teardown(() => tls.destroy())
    tls.on('session', (its: Buffer) => {
      session = its
    })
    await once(tls, 'secureConnect')
    resumed.push(tls.isSessionReused())
    // In TLS 1.3 the ticket comes after the handshake.
    await until(() => session !== undefined)
  }
  // Each stays open, so the next one goes to the other thread.
  t.same(resumed, [false, true, true, true])
})
