// The gateway as a whole, in this process: reloads that are all or nothing, readiness, drain and stop.

import { once } from 'node:events'
import { renameSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { test, type Test } from 'tap'
import { startGateway, type Gateway } from '../../src/gateway/gateway.ts'
import { createLogger } from '../../src/observe/log.ts'
import { buildClientHello } from '../core/tls/hello-builder.ts'
import { freePort } from '../../bench/free-port.ts'
import { keptLines } from '../support/kept-lines.ts'
import { dial, readBytes, readToEnd, startEcho, until } from '../support/sockets.ts'

interface Started {
  readonly gateway: Gateway
  readonly file: string
  readonly lines: Readonly<Record<string, unknown>>[]
  readonly write: (text: string) => void
}

async function start(t: Test, text: string): Promise<Started> {
  const file = join(t.testdir(), 'sluice.yaml')
  const { lines, stream } = keptLines()
  const write = (next: string): void => {
    writeFileSync(`${file}.new`, next)
    renameSync(`${file}.new`, file)
  }
  write(text)
  const logger = createLogger({ stream })
  const gateway = await startGateway({ configFile: file, env: { SLUICE_RELAY_WARM_UP: '0s' }, logger })
  t.teardown(async () => await gateway.stop())
  return { gateway, file, lines, write }
}

interface ConfigFacts {
  readonly listeners?: readonly string[]
  readonly adminPort?: number
  readonly names: Readonly<Record<string, number>>
  readonly drainGrace?: string
}

function configText({ listeners = ['127.0.0.1:0'], adminPort = 0, names, drainGrace = '0s' }: ConfigFacts): string {
  return `listeners: [${listeners.map((address) => `{ address: "${address}" }`).join(', ')}]
defaults: { timeouts: { drainGrace: ${drainGrace} }, health: { kind: none } }
tenants:
${Object.entries(names).map(([name, port]) => `  - { name: ${name}, hostnames: [${name}.example.test], apiServer: { endpoints: [127.0.0.1:${port}] } }`).join('\n')}
admin: { address: 127.0.0.1:${adminPort} }
`
}

function portOf(gateway: Gateway, index = 0): number {
  const port = gateway.listeners[index]?.address.port
  if (port === undefined) throw new Error('no such listener')
  return port
}

async function get(gateway: Gateway, path: string): Promise<{ status: number; body: string }> {
  const response = await fetch(`http://127.0.0.1:${gateway.adminAddress?.port}${path}`)
  return { status: response.status, body: await response.text() }
}

const acmeHello = buildClientHello({ serverName: 'acme.example.test' })
const globexHello = buildClientHello({ serverName: 'globex.example.test' })

for (const [excess, isTold] of [['', false], [', connectionsPerSourceExcess: reset', false], [', connectionsPerSourceExcess: drop', true], [', connectionsPerSourceExcess: ban', true]] as const) {
  void test(`the Node driver ${isTold ? 'warns' : 'says nothing'} where sources over their rate have ${excess === '' ? 'nothing of their own' : excess.slice(2)}`, async (t) => {
    const text = configText({ names: {} }).replace('tenants:', 'tenants: []').replace('"127.0.0.1:0"', `"127.0.0.1:0", limits: { connectionsPerSourcePerSecond: 5${excess} }`)
    const { lines } = await start(t, `${text}relay: { driver: node }\n`)
    t.equal(lines.some(({ msg }) => String(msg).startsWith('connectionsPerSourceExcess: the Node driver')), isTold)
  })
}

void test('it routes by name, and tells of itself on the admin address', async (t) => {
  const echo = await startEcho(t)
  const { gateway, lines } = await start(t, configText({ names: { acme: echo.port } }))
  const client = await dial(t, portOf(gateway), acmeHello)
  t.same(await readBytes(client, acmeHello.length), acmeHello)
  t.same(await get(gateway, '/readyz'), { status: 200, body: 'ok\n' })
  t.match(JSON.parse((await get(gateway, '/v1/snapshot')).body), { version: 1, tenants: 1, hostnames: 1, listeners: [{ name: '127.0.0.1:0', address: `127.0.0.1:${portOf(gateway)}` }] })
  t.match((await get(gateway, '/metrics')).body, /sluice_connections_open\{listener="127\.0\.0\.1:0"\} 1\n/)
  client.end()
  await until(() => lines.some(({ msg }) => msg === 'connection'))
  t.match(lines.find(({ msg }) => msg === 'connection'), { sni: 'acme.example.test', tenant: 'acme', reason: 'completed', closedBy: 'downstream', bytesFromUpstream: acmeHello.length })
})

void test('a reload changes new connections and leaves live ones alone', async (t) => {
  const [before, after] = [await startEcho(t), await startEcho(t)]
  const { gateway, write } = await start(t, configText({ names: { acme: before.port, globex: before.port } }))
  const live = await dial(t, portOf(gateway), acmeHello)
  await readBytes(live, acmeHello.length)
  write(configText({ names: { acme: after.port } }))
  t.same(await gateway.reload('test'), { kind: 'reloaded', version: 2 })
  const next = await dial(t, portOf(gateway), acmeHello)
  await readBytes(next, acmeHello.length)
  t.equal(after.sockets.length, 1)
  live.write('still')
  t.equal((await readBytes(live, 5)).toString(), 'still')
  const gone = await dial(t, portOf(gateway), globexHello)
  t.equal((await readToEnd(gone)).bytes.at(-1), 112, 'unrecognized_name')
})

void test('limits: who is refused is counted and logged by reason, and a reload moves them while open connections count on', async (t) => {
  const echo = await startEcho(t)
  const withLimits = (listenerMax: number, acmeMax: number): string => `listeners: [{ address: "127.0.0.1:0", limits: { connections: ${listenerMax} } }]
defaults: { limits: { connections: ${acmeMax} } }
tenants:
  - { name: acme, hostnames: [acme.example.test], apiServer: { endpoints: [127.0.0.1:${echo.port}] } }
  - { name: globex, hostnames: [globex.example.test], apiServer: { endpoints: [127.0.0.1:${echo.port}] } }
admin: { address: 127.0.0.1:0 }
`
  const { gateway, lines, write } = await start(t, withLimits(3, 1))
  const come = async (hello: Uint8Array): Promise<boolean> => {
    const client = await dial(t, portOf(gateway), hello).catch(() => undefined)
    return client !== undefined && await readBytes(client, hello.length).then((bytes) => bytes.equals(hello), () => false)
  }
  t.same([await come(acmeHello), await come(acmeHello), await come(globexHello)], [true, false, true])
  await until(() => lines.some(({ reason }) => reason === 'tenant-connection-limit'))
  write(withLimits(2, 2))
  t.match(await gateway.reload('test'), { kind: 'reloaded' })
  t.equal(await come(globexHello), false)
  await until(() => lines.some(({ reason }) => reason === 'listener-connection-limit'))
  t.match(lines.find(({ reason }) => reason === 'listener-connection-limit'), { msg: 'connection', listener: '127.0.0.1:0', outcome: 'refused', closedBy: 'gateway', attempts: 0, snapshotVersion: 2 })
  write(withLimits(5, 2))
  t.match(await gateway.reload('test'), { kind: 'reloaded' })
  t.same([await come(acmeHello), await come(acmeHello), await come(globexHello)], [true, false, true])
  const { body } = await get(gateway, '/metrics')
  t.match(body, /sluice_connections_refused_total\{reason="tenant-connection-limit"\} 2\n/)
  t.match(body, /sluice_connections_refused_total\{reason="listener-connection-limit"\} 1\n/)
  t.match(body, /sluice_connections_total\{listener="127\.0\.0\.1:0",outcome="refused"\} 3\n/)
  t.match(body, /sluice_tenant_connections_open 4\n/)
  t.match(body, /sluice_tenants_connected 2\n/)
})

void test('a changed file is noticed by itself', async (t) => {
  const echo = await startEcho(t)
  const { gateway, write } = await start(t, configText({ names: { acme: echo.port } }))
  write(configText({ names: { acme: echo.port, globex: echo.port } }))
  await until(() => gateway.version === 2)
  const client = await dial(t, portOf(gateway), globexHello)
  await readBytes(client, globexHello.length)
})

void test('a bad file changes nothing, and the log says what is wrong and where', async (t) => {
  const echo = await startEcho(t)
  const { gateway, lines, write } = await start(t, configText({ names: { acme: echo.port } }))
  write('listeners: [{ address: nowhere }]\ntenant: []\n')
  t.match(await gateway.reload('test'), { kind: 'kept' })
  t.match(lines.at(-1), {
    level: 'error', version: 1,
    problems: [/^sluice\.yaml:1:24: listeners\[0\]\.address: "nowhere"/, /^sluice\.yaml:2:1: tenant: unknown key; did you mean tenants\?/],
  })
  t.match(JSON.parse((await get(gateway, '/v1/snapshot')).body), { version: 1, lastReload: { result: 'kept', error: /nowhere/ } })
  t.match((await get(gateway, '/metrics')).body, /sluice_reloads_total\{result="kept"\} 1\n/)
  const client = await dial(t, portOf(gateway), acmeHello)
  await readBytes(client, acmeHello.length)
})

void test('listeners come and go with a reload; one that can not be bound leaves everything as it was', async (t) => {
  const echo = await startEcho(t)
  const taken = createServer().listen(0, '127.0.0.1')
  await once(taken, 'listening')
  t.teardown(() => taken.close())
  const address = taken.address()
  if (address === null || typeof address === 'string') throw new Error('no port')
  const [first, second] = [`127.0.0.1:${await freePort()}`, `[::1]:${await freePort()}`]
  const { gateway, write, lines } = await start(t, configText({ listeners: [first], names: { acme: echo.port } }))
  write(configText({ listeners: [first, second, `127.0.0.1:${address.port}`], names: { acme: echo.port, globex: echo.port } }))
  t.match(await gateway.reload('test'), { kind: 'kept', reason: /listener 127\.0\.0\.1:\d+ can't be bound: .*EADDRINUSE/ })
  t.same(gateway.listeners.map(({ name }) => name), [first], 'nothing stays bound')
  const refused = await dial(t, portOf(gateway), globexHello)
  t.equal((await readToEnd(refused)).bytes.at(-1), 112, 'and the old routes hold')
  const live = await dial(t, portOf(gateway), acmeHello)
  await readBytes(live, acmeHello.length)
  write(configText({ listeners: [second], names: { acme: echo.port } }))
  t.match(await gateway.reload('test'), { kind: 'reloaded', version: 2 })
  t.same(gateway.listeners.map(({ name }) => name), [second])
  const overIpv6 = await dial(t, portOf(gateway), acmeHello, '::1')
  await readBytes(overIpv6, acmeHello.length)
  live.write('still')
  await readBytes(live, 5)
  live.end()
  await until(() => lines.some(({ listener, msg }) => listener === first && msg === 'connection'))
})

void test('the admin address moves with a reload', async (t) => {
  const echo = await startEcho(t)
  const { gateway, write } = await start(t, configText({ adminPort: await freePort(), names: { acme: echo.port } }))
  const before = gateway.adminAddress
  const port = await freePort()
  write(configText({ adminPort: port, names: { acme: echo.port } }))
  t.match(await gateway.reload('test'), { kind: 'reloaded' })
  t.equal(gateway.adminAddress?.port, port)
  t.equal((await get(gateway, '/readyz')).status, 200)
  await t.rejects(dial(t, before?.port ?? 0), { code: 'ECONNREFUSED' })
})

void test('reloads that are asked for during one become one more', async (t) => {
  const echo = await startEcho(t)
  const { gateway } = await start(t, configText({ names: { acme: echo.port } }))
  const results = await Promise.all(Array.from({ length: 20 }, async () => await gateway.reload('test')))
  t.ok(results.every(({ kind }) => kind === 'reloaded'))
  t.equal(gateway.version, 3)
})

void test('a drain fails readiness, accepts for the grace time, and ends with the last connection', async (t) => {
  const echo = await startEcho(t)
  const { gateway, write, lines } = await start(t, configText({ names: { acme: echo.port }, drainGrace: '3s' }))
  const live = await dial(t, portOf(gateway), acmeHello)
  await readBytes(live, acmeHello.length)
  const port = portOf(gateway)
  const drained = gateway.drain()
  t.same(await get(gateway, '/readyz'), { status: 503, body: 'draining\n' })
  t.equal((await get(gateway, '/healthz')).status, 200)
  const late = await dial(t, port, acmeHello)
  await readBytes(late, acmeHello.length)
  late.end()
  write(configText({ names: {} }))
  t.match(await gateway.reload('test'), { kind: 'kept', reason: 'the gateway is draining' })
  await until(() => lines.some(({ msg }) => msg === 'listener closed'))
  await t.rejects(dial(t, port), { code: 'ECONNREFUSED' })
  live.write('still')
  t.equal((await readBytes(live, 5)).toString(), 'still')
  live.end()
  await drained
  t.equal(gateway.adminAddress, undefined)
})

for (const how of ['drain', 'stop'] as const) {
  void test(`a reload that is under way when a ${how} begins opens nothing any more`, async (t) => {
    const echo = await startEcho(t)
    const { gateway, write } = await start(t, configText({ names: { acme: echo.port } }))
    const [listenerPort, adminPort] = [await freePort(), await freePort()]
    write(configText({ listeners: [`127.0.0.1:${listenerPort}`], adminPort, names: { acme: echo.port } }))
    const reloading = gateway.reload('test')
    await gateway[how]()
    t.match(await reloading, { kind: 'kept', reason: 'the gateway is draining' })
    t.same(gateway.listeners, [])
    t.equal(gateway.adminAddress, undefined)
    for (const port of [listenerPort, adminPort]) await t.rejects(dial(t, port), { code: 'ECONNREFUSED' })
  })
}

void test('stop ends at once, also in the grace time of a drain', async (t) => {
  const echo = await startEcho(t)
  const { gateway } = await start(t, configText({ names: { acme: echo.port }, drainGrace: '10m' }))
  const live = await dial(t, portOf(gateway), acmeHello)
  await readBytes(live, acmeHello.length)
  const drained = gateway.drain()
  const ending = readToEnd(live)
  await gateway.stop()
  t.match(await ending, { how: 'ECONNRESET' })
  await drained
})

void test('an address that is taken is named in the error', async (t) => {
  const echo = await startEcho(t)
  await t.rejects(start(t, configText({ listeners: [`127.0.0.1:${echo.port}`], names: { acme: echo.port } })), { message: /listener 127\.0\.0\.1:\d+ can't be bound: .*EADDRINUSE/ })
  await t.rejects(start(t, configText({ adminPort: echo.port, names: { acme: echo.port } })), { message: /admin\.address 127\.0\.0\.1:\d+ can't be bound: .*EADDRINUSE/ })
})

void test('[::] serves IPv4 too, unless the file has an IPv4 listener on its port', async (t) => {
  const echo = await startEcho(t)
  const { gateway } = await start(t, configText({ listeners: ['[::]:0'], names: { acme: echo.port } }))
  for (const host of ['127.0.0.1', '::1']) await readBytes(await dial(t, portOf(gateway), acmeHello, host), acmeHello.length)
  // Both have one file, and this one would take over what the next one is to bind.
  await gateway.stop()
  const port = await freePort()
  const both = await start(t, configText({ listeners: [`[::]:${port}`, `0.0.0.0:${port}`], names: { acme: echo.port } }))
  for (const host of ['127.0.0.1', '::1']) await readBytes(await dial(t, port, acmeHello, host), acmeHello.length)
  t.equal(both.gateway.listeners.length, 2)
  both.write(configText({ listeners: [`[::]:${port}`], names: { acme: echo.port } }))
  t.match(await both.gateway.reload('test'), { kind: 'kept', reason: /listener \[::\]:\d+ shares its port with an IPv4 listener .* restart/ }, 'IPv4 clients would find nobody')
  await readBytes(await dial(t, port, acmeHello), acmeHello.length)
})
