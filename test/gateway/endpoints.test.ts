// Endpoints of a running gateway: checks, failed dials, the operator's say, reloads, and a thread that dies.

import { once } from 'node:events'
import { readdirSync, renameSync, writeFileSync } from 'node:fs'
import { createServer, type Server, type Socket } from 'node:net'
import { join } from 'node:path'
import { test, type Test } from 'tap'
import { startGateway, type Gateway } from '../../src/gateway/gateway.ts'
import { createLogger } from '../../src/observe/log.ts'
import { buildClientHello } from '../core/tls/hello-builder.ts'
import { freePort } from '../../bench/free-port.ts'
import { keptLines } from '../support/kept-lines.ts'
import { dial, readBytes, readToEnd, startBackend, startEcho, until } from '../support/sockets.ts'

/** An API server that can come and go, on one port. */
class ComesAndGoes {
  readonly port: number
  readonly address: string
  readonly sockets = new Set<Socket>()
  #server: Server | undefined

  constructor(port: number, address = '127.0.0.1') {
    this.port = port
    this.address = address
  }

  async come(): Promise<void> {
    this.#server = createServer((socket) => {
      this.sockets.add(socket)
      socket.on('error', () => undefined).on('close', () => this.sockets.delete(socket)).pipe(socket)
    }).listen(this.port, this.address)
    await once(this.#server, 'listening')
  }

  async go(): Promise<void> {
    const server = this.#server
    this.#server = undefined
    if (server === undefined) return
    server.close()
    for (const socket of this.sockets) socket.destroy()
    await once(server, 'close')
  }
}

async function comesAndGoes(t: Test, port?: number, address?: string): Promise<ComesAndGoes> {
  const made = new ComesAndGoes(port ?? await freePort(), address)
  await made.come()
  t.teardown(async () => await made.go())
  return made
}

interface Started {
  readonly gateway: Gateway
  readonly lines: Readonly<Record<string, unknown>>[]
  readonly write: (tenants: Readonly<Record<string, readonly string[]>>) => Promise<void>
  readonly metric: (name: string) => Promise<number>
  readonly stateOf: (name: string) => string | undefined
}

const health = '{ kind: tcp, interval: 1s, timeout: 3s, fall: 2, rise: 1, slowStart: 0s }'

/** @param tenants endpoints by name */
async function start(t: Test, tenants: Readonly<Record<string, readonly string[]>>, { driver = 'auto', kind = health, answer = '5s', ejection = '{}' } = {}): Promise<Started> {
  const file = join(t.testdir(), 'sluice.yaml')
  const { lines, stream } = keptLines()
  const textOf = (its: typeof tenants): string => `listeners: [{ address: "127.0.0.1:0" }]
relay: { driver: ${driver} }
defaults: { health: ${kind}, ejection: ${ejection}, timeouts: { drainGrace: 0s, answer: ${answer} } }
tenants:
${Object.entries(its).map(([name, endpoints]) => `  - { name: ${name}, hostnames: [${name}.example.test], apiServer: { endpoints: [${endpoints.join(', ')}] } }`).join('\n')}
admin: { address: 127.0.0.1:0 }
`
  writeFileSync(file, textOf(tenants))
  const logger = createLogger({ stream })
  const gateway = await startGateway({ configFile: file, env: { SLUICE_RELAY_WARM_UP: '0s' }, logger })
  t.teardown(async () => await gateway.stop())
  return {
    gateway, lines,
    write: async (its) => {
      writeFileSync(`${file}.new`, textOf(its))
      renameSync(`${file}.new`, file)
      t.match(await gateway.reload('test'), { kind: 'reloaded' })
    },
    metric: async (name) => {
      const text = await (await fetch(`http://127.0.0.1:${gateway.adminAddress?.port}/metrics`, { headers: { connection: 'close' } })).text()
      return Number(text.split('\n').find((line) => line.startsWith(`${name} `))?.slice(name.length + 1))
    },
    stateOf: (name) => gateway.endpoints.list().find((each) => each.name === name)?.health.state,
  }
}

const hello = buildClientHello({ serverName: 'acme.example.test' })

async function relayed(t: Test, gateway: Gateway, count: number): Promise<void> {
  const port = gateway.listeners[0]?.address.port ?? 0
  for (let opened = 0; opened < count; opened++) await readBytes(await dial(t, port, hello), hello.length)
}

for (const driver of process.platform === 'linux' ? ['linux', 'node'] : ['node']) {
  void test(`${driver}: an endpoint that goes is found down without any client, and back when it comes`, async (t) => {
    const [one, two] = [await comesAndGoes(t), await comesAndGoes(t)]
    const [first, second] = [`127.0.0.1:${one.port}`, `127.0.0.1:${two.port}`]
    const { gateway, lines, metric, stateOf } = await start(t, { acme: [first, second], globex: [first] }, { driver })
    await until(() => gateway.endpoints.list().every((each) => each.health.why === 'connection accepted'))
    await one.go()
    await until(() => stateOf(first) === 'down')
    t.match(lines.find(({ msg }) => String(msg).startsWith('endpoint down')), { endpoint: first, tenants: 2, why: 'connection refused' })
    t.match(lines.find(({ msg }) => /are down by their checks/.test(String(msg))), { count: 1, tenants: ['globex'] })
    const failuresBefore = await metric('sluice_dial_failures_total')
    await relayed(t, gateway, 6)
    t.same(await metric('sluice_dial_failures_total'), failuresBefore, 'no client is sent where nobody is')
    t.same([await metric('sluice_endpoints{state="down"}'), await metric('sluice_endpoints{state="ready"}'), await metric('sluice_tenants_in_panic')], [2, 1, 1])
    await one.come()
    await until(() => stateOf(first) === 'ready')
    await relayed(t, gateway, 6)
    await until(() => one.sockets.size === 6 && two.sockets.size === 6)
    await until(() => lines.some(({ msg }) => /again that is ready/.test(String(msg))))
    t.ok(await metric('sluice_endpoint_checks_total{kind="tcp",result="passed"}') > 0)
    t.same([await metric('sluice_endpoint_transitions_total{to="down",cause="checks"}'), await metric('sluice_endpoint_transitions_total{to="ready",cause="checks"}')], [1, 1])
  })

  void test(`${driver}: a client’s failed dial brings a check before its time`, async (t) => {
    const one = await comesAndGoes(t)
    const echo = await startEcho(t)
    const name = `127.0.0.1:${one.port}`
    const { gateway, metric, stateOf } = await start(t, { acme: [name, `127.0.0.1:${echo.port}`] }, { driver, kind: '{ kind: tcp, interval: 10m, fall: 2, slowStart: 0s }' })
    await until(() => gateway.endpoints.list().every((each) => each.health.why === 'connection accepted'))
    await one.go()
    // The emptiest is the one that refuses: so it is tried, until it is down.
    await relayed(t, gateway, 2)
    await until(() => stateOf(name) === 'down')
    t.ok(await metric('sluice_endpoint_client_marks_total{how="dial"}') >= 1)
  })

  void test(`${driver}: where all are down, a client that reaches one brings its check before its time`, async (t) => {
    const one = await comesAndGoes(t)
    const name = `127.0.0.1:${one.port}`
    const { gateway, metric, stateOf } = await start(t, { acme: [name] }, { driver, kind: '{ kind: tcp, interval: 10m, fall: 1, slowStart: 0s }' })
    await until(() => gateway.endpoints.list().every((each) => each.health.why === 'connection accepted'))
    await one.go()
    await readToEnd(await dial(t, gateway.listeners[0]?.address.port ?? 0, hello))
    await until(() => stateOf(name) === 'down')
    await one.come()
    await relayed(t, gateway, 1)
    await until(() => stateOf(name) === 'ready')
    t.ok(await metric('sluice_endpoint_client_marks_total{how="connected"}') >= 1)
  })

  void test(`${driver}: one whose process hangs accepts and does not answer: it is down, though it passes checks of kind tcp`, async (t) => {
    const [silent, echo] = [await startBackend(t), await startEcho(t)]
    const name = `127.0.0.1:${silent.port}`
    const { gateway, metric, lines, stateOf } = await start(t, { acme: [name, `127.0.0.1:${echo.port}`] }, { driver, kind: '{ kind: tcp, interval: 1s, timeout: 200ms, fall: 2, slowStart: 0s }', answer: '2s' })
    await until(() => gateway.endpoints.list().every((each) => each.health.why === 'connection accepted'))
    // The emptiest is the one that does not answer.
    await relayed(t, gateway, 2)
    await until(() => stateOf(name) === 'down')
    t.match(lines.find(({ msg }) => String(msg).startsWith('endpoint down')), { endpoint: name, why: 'no TLS handshake in 200 ms' })
    t.ok(await metric('sluice_endpoint_client_marks_total{how="answer"}') >= 1)
  })

  void test(`${driver}: an endpoint that clients fail to reach is ejected though no check says that it is down, for a while, and never the last one`, async (t) => {
    const [one, echo] = [await comesAndGoes(t), await startEcho(t)]
    await one.go()
    const [first, second] = [`127.0.0.1:${one.port}`, `127.0.0.1:${echo.port}`]
    const { gateway, lines, metric, write } = await start(t, { acme: [first, second] }, { driver, kind: '{ kind: none }', ejection: '{ failures: 3, time: 4s }' })
    // The emptiest is the one that refuses: so it is tried each time, until it is ejected.
    while (await metric('sluice_endpoints_ejected') === 0) await relayed(t, gateway, 1)
    t.match(lines.find(({ msg }) => String(msg).startsWith('endpoint ejected')), { tenant: 'acme', endpoint: first, forMs: 4_000 })
    t.match(gateway.endpoints.list({ address: '127.0.0.1', port: one.port }), [{ health: { state: 'ready' }, tenants: [{ state: 'down', by: 'ejection' }] }])
    await one.come()
    await until(() => lines.some(({ msg, endpoint }) => msg === 'an endpoint that was ejected is tried again' && endpoint === first))
    while (one.sockets.size === 0) await relayed(t, gateway, 1)
    t.same([await metric('sluice_endpoint_ejections_total'), await metric('sluice_endpoint_ejections_refused_total')], [1, 0])
    await write({ acme: [first] })
    await one.go()
    const marksBefore = await metric('sluice_endpoint_client_marks_total{how="dial"}')
    for (let dials = 0; dials < 6 || await metric('sluice_endpoint_client_marks_total{how="dial"}') === marksBefore; dials++) await readToEnd(await dial(t, gateway.listeners[0]?.address.port ?? 0, hello))
    t.same([await metric('sluice_endpoints_ejected'), await metric('sluice_endpoint_ejections_total'), await metric('sluice_tenants_in_panic')], [0, 1, 0], 'nor is one that is alone')
  })
}

void test('one check for all tenants that share an endpoint', async (t) => {
  const one = await comesAndGoes(t)
  let connections = 0
  const server = createServer((socket) => {
    connections += 1
    socket.on('error', () => undefined)
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => server.close())
  const address = server.address()
  const shared = `127.0.0.1:${typeof address === 'object' ? address?.port : 0}`
  const tenants = Object.fromEntries(Array.from({ length: 200 }, (_, index) => [`t${index}`, [shared, `127.0.0.1:${one.port}`]]))
  const startMs = performance.now()
  const { gateway, metric } = await start(t, tenants)
  await until(() => gateway.endpoints.list().every((each) => each.health.why === 'connection accepted'))
  t.equal(gateway.endpoints.list().length, 2)
  t.same([await metric('sluice_endpoint_targets'), await metric('sluice_endpoints{state="ready"}')], [2, 400])
  // One a second.
  const most = 5 + Math.max(0, performance.now() - startMs - 4_000) / 1_000
  t.ok(connections >= 1 && connections <= most, `${connections} connections for 200 tenants`)
})

void test('an address that falls as a whole is one line, and all its ports are down', async (t) => {
  const ports = await Promise.all(Array.from({ length: 12 }, async () => await freePort()))
  const node = await Promise.all(ports.map(async (port) => await comesAndGoes(t, port, '127.0.1.7')))
  const others = await Promise.all(ports.map(async (port) => await comesAndGoes(t, port, '127.0.1.8')))
  const tenants = Object.fromEntries(ports.map((port, index) => [`t${index}`, [`127.0.1.7:${port}`, `127.0.1.8:${port}`]]))
  const { gateway, lines } = await start(t, tenants, { kind: '{ kind: tcp, interval: 2s, fall: 5, rise: 1, slowStart: 0s }' })
  await until(() => gateway.endpoints.list().every((each) => each.health.why === 'connection accepted'))
  await Promise.all(node.map(async (each) => await each.go()))
  await until(() => gateway.endpoints.list({ address: '127.0.1.7' }).every((each) => each.health.state === 'down'))
  t.ok(gateway.endpoints.list({ address: '127.0.1.8' }).every((each) => each.health.state === 'ready'))
  const down = lines.filter(({ msg }) => String(msg).startsWith('endpoint down'))
  t.match(down, [{ address: '127.0.1.7', endpoints: 12, tenants: 12, why: /ports of 127\.0\.1\.7 failed together: connection refused/ }])
  t.equal(down.length, 1)
  t.equal(others.length, 12)
})

void test('what the operator says holds at once and over a reload, beside what checks say', async (t) => {
  const [one, two] = [await comesAndGoes(t), await comesAndGoes(t)]
  const endpoints = [`127.0.0.1:${one.port}`, `127.0.0.1:${two.port}`]
  const { gateway, lines, write } = await start(t, { acme: endpoints })
  await relayed(t, gateway, 2)
  t.equal(gateway.endpoints.setState({ address: '127.0.0.1', port: one.port }, 'draining'), 1)
  await relayed(t, gateway, 4)
  // Checks come and go beside them.
  await until(() => one.sockets.size === 1 && two.sockets.size === 5)
  await write({ acme: endpoints, globex: endpoints })
  await relayed(t, gateway, 2)
  await until(() => one.sockets.size === 1 && two.sockets.size === 7)
  const [status] = gateway.endpoints.list({ address: '127.0.0.1', port: one.port })
  t.match(status, { check: 'tcp', activeConnections: 1, tenantCount: 2, health: { state: 'ready' } })
  t.same(status?.tenants.map(({ tenant, state, by }) => [tenant, state, by]).toSorted(), [['acme', 'draining', 'operator'], ['globex', 'draining', 'operator']])
  t.equal(gateway.endpoints.setState({ address: '127.0.0.1', port: one.port }, undefined), 2)
  await relayed(t, gateway, 2)
  await until(() => one.sockets.size === 3 && two.sockets.size === 7)
  t.equal(lines.filter(({ msg }) => msg === 'the operator has set an endpoint’s state').length, 2)
})

void test('a thread that dies is replaced; states stay meanwhile, and checks go on', async (t) => {
  const [one, two] = [await comesAndGoes(t), await comesAndGoes(t)]
  const [first, second] = [`127.0.0.1:${one.port}`, `127.0.0.1:${two.port}`]
  const { gateway, lines, metric, stateOf } = await start(t, { acme: [first, second] })
  await one.go()
  await until(() => stateOf(first) === 'down')
  const isOnLinux = process.platform === 'linux'
  const descriptors = isOnLinux ? readdirSync('/proc/self/fd').length : 0
  gateway.endpoints.crashThread()
  await until(() => lines.some(({ msg }) => /thread that checks endpoints died/.test(String(msg))))
  t.equal(await metric('sluice_health_thread_restarts_total'), 1)
  await two.go()
  await until(() => stateOf(second) === 'down')
  t.equal(stateOf(first), 'down', 'its successor knew')
  await one.come()
  await until(() => stateOf(first) === 'ready')
  // Those of the one that died are given back.
  if (isOnLinux) await until(() => readdirSync('/proc/self/fd').length <= descriptors + 2)
})
