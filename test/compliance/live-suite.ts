// What every driver must do for those who run a gateway: tell which connections live, a few at a time, and end some of them.

import type { Socket } from 'node:net'
import { test, type Test } from 'tap'
import { slotsPerScan, type ConnectionQuery, type LiveConnection } from '../../src/core/live/live-connection.ts'
import { encodeProxyHeader } from '../../src/core/proxy-protocol/encode.ts'
import type { RelayDriver } from '../../src/relay/driver.ts'
import { buildClientHello } from '../core/tls/hello-builder.ts'
import { endpoint, listenerName, tenant } from '../support/config.ts'
import { startRelay, type CreateDriver } from '../support/relay.ts'
import { dial, readBytes, readToEnd, startBackend, startEcho, until } from '../support/sockets.ts'

const helloOf = (name: string): Buffer => Buffer.from(buildClientHello({ serverName: `${name}.example.test` }))

/** Of all threads, in steps of so many. */
async function liveOf(driver: RelayDriver, query: ConnectionQuery = {}, max = 100): Promise<LiveConnection[]> {
  const found: LiveConnection[] = []
  for (const thread of driver.live) {
    for (let from: number | undefined = 0; from !== undefined;) {
      const { connections, next } = await thread.scan({ query, from, max })
      found.push(...connections)
      from = next
    }
  }
  return found
}

async function relayed(t: Test, port: number, name: string): Promise<Socket> {
  const client = await dial(t, port, helloOf(name))
  await readBytes(client, helloOf(name).length)
  return client
}

export function liveSuite(driverName: string, createDriver: CreateDriver): void {
  const compliance = (rule: string, run: (t: Test) => Promise<void>): void => void test(`${driverName}: ${rule}`, run)

  compliance('a live connection is told of with all that is known of it, in each phase', async (t) => {
    const [echo, silent] = [await startEcho(t), await startBackend(t)]
    const relay = await startRelay(t, { createDriver, tenants: [tenant('acme', [endpoint(echo.port)]), tenant('quiet', [endpoint(silent.port)])] })
    t.same(await liveOf(relay.driver), [])
    const before = Date.now()
    const client = await relayed(t, relay.port, 'acme')
    const [listed] = await liveOf(relay.driver)
    t.match(listed, {
      phase: 'relaying', listener: listenerName, tenant: 'acme', serverName: 'acme.example.test', client: { address: '127.0.0.1', port: client.localPort ?? -1 }, endpoint: `127.0.0.1:${echo.port}`,
      bytesFromDownstream: helloOf('acme').length, bytesFromUpstream: helloOf('acme').length,
    })
    t.ok(Math.abs((listed?.acceptedAtMs ?? 0) - before) < 10_000)
    client.end('bye')
    await until(() => client.readableEnded || client.readableLength === 3)
    await readToEnd(client)
    t.match(await relay.record(0), { id: listed?.id ?? '', reason: 'completed' })
    t.same(await liveOf(relay.driver), [], 'one that has ended is not')

    await dial(t, relay.port, helloOf('acme').subarray(0, 20))
    await dial(t, relay.port, helloOf('quiet'))
    await silent.socket(0)
    let phases: string[] = []
    while (!phases.includes('awaiting-answer') || phases.length < 2) phases = (await liveOf(relay.driver)).map(({ phase }) => phase)
    t.same(phases.toSorted(), ['awaiting-answer', 'hello'])
    const half = await relayed(t, relay.port, 'acme')
    const socket = echo.sockets.at(-1)
    socket?.unpipe()
    socket?.end()
    await until(() => half.readableEnded || half.readableLength === 0)
    let [found] = await liveOf(relay.driver, { tenant: 'acme' })
    while (found?.phase !== 'half-closed') [found] = await liveOf(relay.driver, { tenant: 'acme' })
    t.equal(found.phase, 'half-closed')
  })

  compliance('they are found by tenant, endpoint, source and id, all of which must hold', async (t) => {
    const [one, other] = [await startEcho(t), await startEcho(t)]
    const relay = await startRelay(t, { createDriver, tenants: [tenant('acme', [endpoint(one.port)]), tenant('globex', [endpoint(other.port)])], listener: { proxyProtocol: { trustedSources: ['127.0.0.0/8'] } } })
    const from = async (address: string, name: string): Promise<void> => {
      const client = await dial(t, relay.port, Buffer.concat([encodeProxyHeader({ version: 'v2', source: { address, port: 4_321 }, destination: { address: '2001:db8::1', port: 6_443 } }), helloOf(name)]))
      await readBytes(client, helloOf(name).length)
    }
    await from('2001:db8::a:1', 'acme')
    await from('2001:db8::b:1', 'acme')
    await from('2001:db9::1', 'globex')
    const sources = async (query: ConnectionQuery): Promise<string[]> => (await liveOf(relay.driver, query)).map(({ client }) => client?.address ?? '').toSorted()
    const all = ['2001:db8::a:1', '2001:db8::b:1', '2001:db9::1']
    t.same(await sources({}), all)
    t.same(await sources({ tenant: 'acme' }), all.slice(0, 2))
    t.same(await sources({ endpoint: { address: '127.0.0.1', port: other.port } }), all.slice(2))
    t.same(await sources({ endpoint: { address: '127.0.0.1' } }), all, 'of a whole node')
    t.same(await sources({ endpoint: { address: '127.0.0.2' } }), [])
    t.same(await sources({ source: '2001:db8::/64' }), all.slice(0, 2))
    t.same(await sources({ source: '2001:db8::a:1/128', tenant: 'acme' }), all.slice(0, 1))
    t.same(await sources({ source: '2001:db8::a:1/128', tenant: 'globex' }), [])
    const [globex] = await liveOf(relay.driver, { tenant: 'globex' })
    t.same(await sources({ id: globex?.id ?? '' }), all.slice(2))
    t.same(await sources({ id: 'nobody’s' }), [])
  })

  compliance('steps are short, and meet each that lives through all of them once, whoever comes and goes meanwhile', async (t) => {
    const echo = await startEcho(t)
    const relay = await startRelay(t, { createDriver, tenants: [tenant('acme', [endpoint(echo.port)])], workers: 2 })
    const clients = await Promise.all(Array.from({ length: 40 }, async () => await relayed(t, relay.port, 'acme')))
    const living = new Set((await liveOf(relay.driver)).map(({ client }) => client?.port ?? 0))
    t.equal(living.size, 40)
    const met: number[] = []
    for (const thread of relay.driver.live) {
      for (let from: number | undefined = 0; from !== undefined;) {
        const { connections, next } = await thread.scan({ query: {}, from, max: 3 })
        t.ok(connections.length <= 3)
        met.push(...connections.map(({ client }) => client?.port ?? 0))
        const leaving = clients.pop()
        leaving?.end()
        if (leaving !== undefined) await readToEnd(leaving)
        await relayed(t, relay.port, 'acme')
        from = next
        if (met.length > 500) throw new Error('it never ends')
      }
    }
    const stayed = clients.map(({ localPort }) => localPort ?? -1)
    t.ok(stayed.length > 10)
    t.same(stayed.filter((port) => met.filter((each) => each === port).length !== 1), [])
    const [thread] = relay.driver.live
    t.same(await thread?.scan({ query: {}, from: 10 * slotsPerScan, max: 1 }), { connections: [] }, 'behind the end there is none')
  })

  compliance('those that are closed are reset behind what they are owed, on both sides, with their own reason; the others go on', async (t) => {
    const echo = await startEcho(t)
    const relay = await startRelay(t, { createDriver, tenants: [tenant('acme', [endpoint(echo.port)]), tenant('globex', [endpoint(echo.port)])] })
    const [closed, other] = [await relayed(t, relay.port, 'acme'), await relayed(t, relay.port, 'globex')]
    const waiting = await dial(t, relay.port, helloOf('acme').subarray(0, 20))
    const [thread] = relay.driver.live
    const [acme] = await liveOf(relay.driver, { tenant: 'acme' })
    let inHello: LiveConnection | undefined
    while (inHello === undefined) inHello = (await liveOf(relay.driver)).find(({ phase }) => phase === 'hello')
    if (acme === undefined || thread === undefined) throw new Error('it is not listed')
    t.equal(await thread.close([{ ...acme, id: 'another’s' }]), 0, 'a slot that is another’s by now is left alone')
    t.equal(await thread.close([{ slot: 100_000, id: acme.id }]), 0)
    const endings = Promise.all([closed, waiting].map(async (socket) => await readToEnd(socket)))
    t.equal(await thread.close([acme, inHello]), 2)
    t.match(await endings, [{ how: 'ECONNRESET' }, { how: 'ECONNRESET' }])
    const [backend] = echo.sockets
    await until(() => backend?.destroyed === true)
    await relay.record(1)
    t.match(relay.records.map(({ id, reason, closedBy }) => ({ id, reason, closedBy })).toSorted((left, right) => left.id < right.id ? -1 : 1), [
      { reason: 'closed-by-operator', closedBy: 'gateway' }, { reason: 'closed-by-operator', closedBy: 'gateway' },
    ])
    t.equal(await thread.close([acme, inHello]), 0)
    other.write('still')
    t.equal((await readBytes(other, 5)).toString(), 'still')
  })

  compliance('a drain spreads what it closes over the second half of its time', async (t) => {
    const echo = await startEcho(t)
    const relay = await startRelay(t, { createDriver, tenants: [tenant('acme', [endpoint(echo.port)], { drainTimeoutMs: 4_000 })] })
    const clients = await Promise.all(Array.from({ length: 40 }, async () => await relayed(t, relay.port, 'acme')))
    await relay.driver.unlisten(listenerName)
    const drainedAtMs = Date.now()
    const drained = relay.driver.drain()
    const endings = await Promise.all(clients.map(async (client) => await readToEnd(client)))
    await drained
    t.ok(endings.every(({ how }) => how === 'ECONNRESET'))
    const endedMs = relay.records.map(({ acceptedAtMs, totalMs }) => acceptedAtMs + totalMs - drainedAtMs).toSorted((left, right) => left - right)
    t.ok(relay.records.every(({ reason }) => reason === 'drain-timeout'))
    t.ok((endedMs[0] ?? 0) > 1_900, `nobody is closed in the first half: ${endedMs[0]} ms`)
    t.ok((endedMs[19] ?? 0) < (endedMs[39] ?? 0) - 100, 'and then not all together')
  })
}
