// What every driver must do at its limits: who is refused, how, and that nobody else is.

import { connect, type Socket } from 'node:net'
import { test, type Test } from 'tap'
import { LimitRows } from '../../src/core/limit/limit-rows.ts'
import { encodeProxyHeader } from '../../src/core/proxy-protocol/encode.ts'
import { encodeFatalAlert } from '../../src/core/tls/alert.ts'
import { buildClientHello } from '../core/tls/hello-builder.ts'
import { changeOf, endpoint, listener, tenant } from '../support/config.ts'
import { startRelay, type CreateDriver, type Relay } from '../support/relay.ts'
import { readBytes, readToEnd, startEcho, until, type Ending } from '../support/sockets.ts'

const helloOf = (name: string): Buffer => Buffer.from(buildClientHello({ serverName: `${name}.example.test` }))
const acmeHello = helloOf('acme')
/** What is taken of a burst stays taken. */
const veryFew = 0.001
const alert = Buffer.from(encodeFatalAlert('internal_error'))

type Compliance = (rule: string, run: (t: Test) => Promise<void>) => void

export function limitSuite(driverName: string, createDriver: CreateDriver): void {
  const compliance: Compliance = (rule, run) => void test(`${driverName}: ${rule}`, run)
  acceptRules(compliance, createDriver)
  tenantRules(compliance, createDriver)
  retryRules(compliance, createDriver)
}

/** From an address of loopback. It may be reset before it is connected. */
function client(t: Test, port: number, bytes: Uint8Array = acmeHello, localAddress = '127.0.0.1'): Socket {
  const socket = connect({ port, host: '127.0.0.1', localAddress, allowHalfOpen: true, noDelay: true })
  t.teardown(() => void socket.destroy())
  socket.on('error', () => undefined)
  socket.write(bytes)
  return socket
}

async function isAnswered(socket: Socket, hello = acmeHello): Promise<boolean> {
  return await readBytes(socket, hello.length).then((bytes) => bytes.equals(hello), () => false)
}

async function ended(...args: Parameters<typeof client>): Promise<Ending> {
  return await readToEnd(client(...args))
}

function isReset({ bytes, how }: Ending): boolean {
  return bytes.length === 0 && (how === 'ECONNRESET' || how === 'EPIPE' || how === 'closed')
}

async function leave(relay: Relay, socket: Socket): Promise<void> {
  const { openConnections } = relay.admission()
  socket.end()
  await until(() => relay.admission().openConnections < openConnections)
}

function acceptRules(compliance: Compliance, createDriver: CreateDriver): void {
  compliance('a listener at its cap resets who is too many, and takes one again when one has ended', async (t) => {
    const echo = await startEcho(t)
    const relay = await startRelay(t, { createDriver, tenants: [tenant('acme', [endpoint(echo.port)])], listener: { limits: { connectionsMax: 2 } } })
    const clients = [client(t, relay.port), client(t, relay.port)]
    for (const each of clients) t.ok(await isAnswered(each))
    t.ok(isReset(await ended(t, relay.port)))
    t.match(await relay.record(0), { reason: 'listener-connection-limit', closedBy: 'gateway', attempts: 0, downstream: { address: '127.0.0.1' }, bytesFromDownstream: 0 })
    t.equal(relay.driver.counters().openConnections, 2)
    if (clients[0] !== undefined) await leave(relay, clients[0])
    t.ok(await isAnswered(client(t, relay.port)))
    t.equal(echo.sockets.length, 3)
  })

  compliance('a source at its cap is reset, and another one is not', async (t) => {
    const echo = await startEcho(t)
    const relay = await startRelay(t, { createDriver, tenants: [tenant('acme', [endpoint(echo.port)])], listener: { limits: { connectionsPerSourceMax: 1 } } })
    const first = client(t, relay.port)
    t.ok(await isAnswered(first))
    t.ok(isReset(await ended(t, relay.port)))
    t.match(await relay.record(0), { reason: 'source-connection-limit' })
    t.ok(await isAnswered(client(t, relay.port, acmeHello, '127.0.0.2')))
    await leave(relay, first)
    t.ok(await isAnswered(client(t, relay.port)))
  })

  compliance('a source that comes too fast is reset, and takes nothing of what its listener allows others', async (t) => {
    const echo = await startEcho(t)
    const limits = { rate: { perSecond: veryFew, burst: 2 }, sourceRate: { perSecond: veryFew, burst: 1 } } as const
    const relay = await startRelay(t, { createDriver, tenants: [tenant('acme', [endpoint(echo.port)])], listener: { limits } })
    t.ok(await isAnswered(client(t, relay.port)))
    t.ok((await Promise.all(Array.from({ length: 20 }, async () => isReset(await ended(t, relay.port))))).every(Boolean))
    await relay.record(19)
    t.ok(relay.records.every(({ reason }) => reason === 'source-rate-limit'))
    t.ok(await isAnswered(client(t, relay.port, acmeHello, '127.0.0.2')))
    t.ok(isReset(await ended(t, relay.port, acmeHello, '127.0.0.3')))
    t.match(await relay.record(20), { reason: 'listener-rate-limit' })
  })

  compliance('behind a balancer the client of the PROXY header is the source', async (t) => {
    const echo = await startEcho(t)
    const relay = await startRelay(t, {
      createDriver, tenants: [tenant('acme', [endpoint(echo.port)])], listener: { proxyProtocol: { trustedSources: ['127.0.0.0/8'] }, limits: { connectionsPerSourceMax: 1 } },
    })
    const from = (address: string): Buffer => Buffer.concat([encodeProxyHeader({ version: 'v2', source: { address, port: 4_321 }, destination: { address: '2001:db8::1', port: 6_443 } }), acmeHello])
    t.ok(await isAnswered(client(t, relay.port, from('2001:db8::a:1'))))
    t.ok(isReset(await ended(t, relay.port, from('2001:db8::b:2'))), 'of the same /64')
    t.match(await relay.record(0), { reason: 'source-connection-limit', client: { address: '2001:db8::b:2' }, downstream: { address: '127.0.0.1' } })
    t.ok(await isAnswered(client(t, relay.port, from('2001:db8:0:1::1'))))
  })

  compliance('connections without a hello have a budget of their own, and those that are relayed do not count', async (t) => {
    const echo = await startEcho(t)
    const relay = await startRelay(t, { createDriver, tenants: [tenant('acme', [endpoint(echo.port)])], limits: { helloConnectionsMax: 2 } })
    for (let turn = 0; turn < 3; turn++) t.ok(await isAnswered(client(t, relay.port)))
    const half = acmeHello.subarray(0, 100)
    const slow = [client(t, relay.port, half), client(t, relay.port, half)]
    await until(() => relay.admission().openConnectionsBeforeHello === 2)
    t.ok(isReset(await ended(t, relay.port)))
    t.match(await relay.record(0), { reason: 'hello-limit' })
    slow[0]?.write(acmeHello.subarray(100))
    t.ok(slow[0] !== undefined && await isAnswered(slow[0]))
    t.ok(await isAnswered(client(t, relay.port)))
  })

  compliance('a storm of connections is let in whole, and one that is relayed goes on meanwhile', async (t) => {
    const echo = await startEcho(t)
    const relay = await startRelay(t, { createDriver, tenants: [tenant('acme', [endpoint(echo.port)])] })
    const relayed = client(t, relay.port)
    t.ok(await isAnswered(relayed))
    const storm = Array.from({ length: 400 }, async () => await isAnswered(client(t, relay.port)))
    const over = new AbortController()
    const pings = async (): Promise<void> => {
      while (!over.signal.aborted) {
        relayed.write('ping')
        t.equal((await readBytes(relayed, 4)).toString(), 'ping')
      }
    }
    const pinging = pings()
    t.ok((await Promise.all(storm)).every(Boolean))
    over.abort()
    await pinging
    t.equal(relay.driver.counters().openConnections, storm.length + 1)
  })

  compliance('a process at its configured cap refuses with an alert, and a reload moves it without touching anybody', async (t) => {
    const echo = await startEcho(t)
    const tenants = [tenant('acme', [endpoint(echo.port)])]
    const relay = await startRelay(t, { createDriver, tenants, limits: { connectionsMax: 2 } })
    const clients = [client(t, relay.port), client(t, relay.port)]
    for (const each of clients) t.ok(await isAnswered(each))
    t.same(await ended(t, relay.port), { bytes: alert, how: 'fin' })
    t.match(await relay.record(0), { reason: 'connection-limit' })
    await relay.driver.publish({ ...changeOf({ tenants, listeners: [listener()], limits: { connectionsMax: 1 } }), version: 2 })
    for (const each of clients) {
      each.write('still')
      t.equal((await readBytes(each, 5)).toString(), 'still')
    }
    await relay.driver.publish({ ...changeOf({ tenants, listeners: [listener()], limits: { connectionsMax: 3 } }), version: 3 })
    t.ok(await isAnswered(client(t, relay.port)))
    t.same(await ended(t, relay.port), { bytes: alert, how: 'fin' })
  })
}

function retryRules(compliance: Compliance, createDriver: CreateDriver): void {
  compliance('where a tenant’s endpoints fail, its connections are not multiplied, and another tenant’s are tried again as ever', async (t) => {
    const echo = await startEcho(t)
    const [closed, alsoClosed] = await Promise.all([closedPort(t), closedPort(t)])
    const retryBudget = { percent: 20, reserve: 2, floorPerSecond: veryFew }
    const relay = await startRelay(t, {
      createDriver, workers: 2, tenants: [
        tenant('acme', [endpoint(closed), endpoint(alsoClosed)], { retryBudget }),
        tenant('globex', [endpoint(closed), endpoint(echo.port)], { retryBudget: { ...retryBudget, reserve: 500 } }),
      ],
    })
    const globex = helloOf('globex')
    const connections = 50
    for (let turn = 0; turn < connections; turn++) {
      t.same(await ended(t, relay.port), { bytes: alert, how: 'fin' })
      t.ok(await isAnswered(client(t, relay.port, globex), globex), 'the hello came to the endpoint that answers, once and whole')
    }
    await until(() => relay.records.length >= connections)
    const acme = relay.records.filter(({ tenant: name }) => name === 'acme')
    const retries = acme.reduce((sum, { attempts }) => sum + attempts - 1, 0)
    // The reserve, one of the floor, and a fifth.
    t.ok(retries >= connections / 5 && retries <= 3 + connections / 5, `${retries} retries`)
    t.same(new Set(acme.map(({ reason, attempts }) => `${reason} ${attempts}`)), new Set(['dial-refused 2', 'retry-budget 1']))
    t.match(acme.find(({ reason }) => reason === 'retry-budget'), { detail: /^dial-refused: .*ECONNREFUSED/, endpoint: /^127\.0\.0\.1:/ })
    t.equal(relay.admission().retriesRefused, connections - retries)
  })
}

async function closedPort(t: Test): Promise<number> {
  const gone = await startEcho(t)
  await gone.close()
  return gone.port
}

function tenantRules(compliance: Compliance, createDriver: CreateDriver): void {
  compliance('a tenant at its cap gets an alert, dials nobody, and takes one again when one has ended', async (t) => {
    const echo = await startEcho(t)
    const relay = await startRelay(t, { createDriver, tenants: [tenant('acme', [endpoint(echo.port)], { limits: { connectionsMax: 1 } })] })
    const first = client(t, relay.port)
    t.ok(await isAnswered(first))
    t.same(await ended(t, relay.port), { bytes: alert, how: 'fin' })
    t.match(await relay.record(0), { reason: 'tenant-connection-limit', tenant: 'acme', attempts: 0, closedBy: 'gateway' })
    t.equal(echo.sockets.length, 1)
    await leave(relay, first)
    t.ok(await isAnswered(client(t, relay.port)))
  })

  compliance('a source at its cap in one tenant gets an alert there, and nowhere else', async (t) => {
    const echo = await startEcho(t)
    const relay = await startRelay(t, { createDriver, tenants: [tenant('acme', [endpoint(echo.port)], { limits: { connectionsPerSourceMax: 1 } }), tenant('globex', [endpoint(echo.port)])] })
    t.ok(await isAnswered(client(t, relay.port)))
    t.same(await ended(t, relay.port), { bytes: alert, how: 'fin' })
    t.match(await relay.record(0), { reason: 'tenant-source-limit', tenant: 'acme' })
    t.ok(await isAnswered(client(t, relay.port, acmeHello, '127.0.0.2')))
    t.ok(await isAnswered(client(t, relay.port, helloOf('globex')), helloOf('globex')))
  })

  compliance('while one tenant knocks at its cap, at its rate and all the time, another is never refused', async (t) => {
    const echo = await startEcho(t)
    const relay = await startRelay(t, {
      createDriver, tenants: [tenant('acme', [endpoint(echo.port)], { limits: { connectionsMax: 2, rate: { perSecond: 20, burst: 5 } } }), tenant('globex', [endpoint(echo.port)])],
    })
    const globex = helloOf('globex')
    const over = new AbortController()
    const knock = async (): Promise<void> => {
      while (!over.signal.aborted) {
        const socket = client(t, relay.port)
        await isAnswered(socket)
        socket.destroy()
      }
    }
    const knocking = Promise.all(Array.from({ length: 8 }, knock))
    for (let turn = 0; turn < 100; turn++) {
      const socket = client(t, relay.port, globex)
      t.ok(await isAnswered(socket, globex))
      socket.destroy()
    }
    over.abort()
    await knocking
    await until(() => relay.admission().openConnections === 0)
    t.ok(relay.records.every(({ tenant: name, reason }) => name !== 'globex' || !reason.endsWith('-limit')))
    t.ok(relay.records.some(({ tenant: name, reason }) => name === 'acme' && (reason === 'tenant-connection-limit' || reason === 'tenant-rate-limit')))
  })

  compliance('in a storm the tenant with many connections is refused with an alert, and the one with few is let in', async (t) => {
    const echo = await startEcho(t)
    const relay = await startRelay(t, { createDriver, tenants: ['acme', 'globex'].map((name) => tenant(name, [endpoint(echo.port)])), limits: { rate: { perSecond: veryFew, burst: 40 } } })
    const globex = helloOf('globex')
    t.ok(await isAnswered(client(t, relay.port, globex), globex))
    const storm = await Promise.all(Array.from({ length: 40 }, async () => await isAnswered(client(t, relay.port))))
    t.equal(storm.filter((answered) => answered).length, 19, 'half of the burst is not for it')
    await relay.record(20)
    t.ok(relay.records.every(({ tenant: name, reason }) => name === 'acme' && reason === 'process-rate-limit'))
    for (let turn = 0; turn < 10; turn++) t.ok(await isAnswered(client(t, relay.port, globex), globex))
  })

  compliance('a tenant’s limits change with a reload, and its open connections count on', async (t) => {
    const echo = await startEcho(t)
    const withMax = (connectionsMax: number): ReturnType<typeof tenant> => tenant('acme', [endpoint(echo.port)], { limits: { connectionsMax } })
    const relay = await startRelay(t, { createDriver, tenants: [withMax(1)] })
    t.ok(await isAnswered(client(t, relay.port)))
    t.same(await ended(t, relay.port), { bytes: alert, how: 'fin' })
    // The first tenant of a table has its first row.
    const rows = new LimitRows({ listeners: new Int32Array(8), tenants: new Int32Array(8) })
    await relay.driver.publish(rows.assign(changeOf({ tenants: [withMax(2)], version: 2 })))
    t.ok(await isAnswered(client(t, relay.port)))
    t.same(await ended(t, relay.port), { bytes: alert, how: 'fin' })
  })
}
