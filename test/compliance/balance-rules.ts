// What holds of schedulers in every driver, with as many workers as it can have: they balance on the same numbers.

import type { Socket } from 'node:net'
import type { Test } from 'tap'
import { schedulerKinds } from '../../src/core/balance/scheduler.ts'
import { encodeFatalAlert } from '../../src/core/tls/alert.ts'
import { buildClientHello } from '../core/tls/hello-builder.ts'
import { endpoint, tenant } from '../support/config.ts'
import { startRelay, type CreateDriver, type Relay } from '../support/relay.ts'
import { dial, readBytes, readToEnd, startEcho, type Backend } from '../support/sockets.ts'
import { unresponsivePort } from '../support/unresponsive-port.ts'
import type { Compliance } from './relay-suite.ts'

const hello = buildClientHello({ serverName: 'acme.example.test' })
const workers = 2

/** One after the other, each relayed before the next one comes. */
async function relayedClients(t: Test, { port }: Relay, count: number): Promise<Socket[]> {
  const clients: Socket[] = []
  for (let opened = 0; opened < count; opened++) {
    const client = await dial(t, port, hello)
    await readBytes(client, hello.length)
    clients.push(client)
  }
  return clients
}

function openOn({ sockets }: Backend): number {
  return sockets.filter((socket) => !socket.destroyed).length
}

/** Which of the relay's clients an API server's connection is: the echo has the client's bytes, not its port, so all of them end. */
async function endAllOn(backend: Backend, relay: Relay): Promise<void> {
  const before = relay.records.length
  const open = backend.sockets.filter((socket) => !socket.destroyed)
  for (const socket of open) socket.resetAndDestroy()
  await relay.record(before + open.length - 1)
}

export function balanceRules(compliance: Compliance, createDriver: CreateDriver): void {
  compliance('lc sends each connection to the endpoint that has the fewest, whichever worker takes it', async (t) => {
    const [one, two] = [await startEcho(t), await startEcho(t)]
    const relay = await startRelay(t, { createDriver, workers, tenants: [tenant('acme', [endpoint(one.port), endpoint(two.port)], { scheduler: 'lc' })] })
    await relayedClients(t, relay, 12)
    t.same([openOn(one), openOn(two)], [6, 6])
    await endAllOn(one, relay)
    t.same([relay.activeOn('acme', one.port), relay.activeOn('acme', two.port)], [0, 6])
    await relayedClients(t, relay, 6)
    t.same([openOn(one), openOn(two)], [6, 6])
  })

  compliance('wlc does so by weight, and a quiesced endpoint keeps what it has and gets nothing more', async (t) => {
    const [one, two, three] = [await startEcho(t), await startEcho(t), await startEcho(t)]
    const acme = (weights: readonly number[]): Parameters<Relay['publish']>[0] => [tenant('acme', [one, two, three].map(({ port }, index) => endpoint(port, { weight: weights[index] ?? 1 })), { scheduler: 'wlc' })]
    const relay = await startRelay(t, { createDriver, workers, tenants: acme([3, 1, 0]) })
    await relayedClients(t, relay, 8)
    t.same([openOn(one), openOn(two), openOn(three)], [6, 2, 0])
    await relay.publish(acme([0, 1, 1]))
    await relayedClients(t, relay, 6)
    t.same([openOn(one), openOn(two), openOn(three)], [6, 4, 4], 'counts outlive the change')
  })

  compliance('an attempt that fails does not stay counted', async (t) => {
    const echo = await startEcho(t)
    const gone = await startEcho(t)
    await gone.close()
    const silent = await unresponsivePort(t)
    const relay = await startRelay(t, { createDriver, workers, tenants: [tenant('acme', [endpoint(gone.port), endpoint(silent), endpoint(echo.port)], { scheduler: 'lc', connectTimeoutMs: 100 })] })
    const clients = await relayedClients(t, relay, 4)
    t.same([gone.port, silent, echo.port].map((port) => relay.activeOn('acme', port)), [0, 0, 4])
    for (const client of clients) client.end()
    await relay.record(3)
    t.equal(relay.activeOn('acme', echo.port), 0)
  })

  compliance('a connection is counted once, however it ends', async (t) => {
    const echo = await startEcho(t)
    const relay = await startRelay(t, { createDriver, workers, tenants: [tenant('acme', [endpoint(echo.port)], { scheduler: 'wlc' })] })
    const [finished, reset, cut, stopped] = await relayedClients(t, relay, 4)
    if (finished === undefined || reset === undefined || cut === undefined || stopped === undefined) return
    t.equal(relay.activeOn('acme', echo.port), 4)
    finished.end()
    await readToEnd(finished)
    await relay.record(0)
    reset.resetAndDestroy()
    await relay.record(1)
    echo.sockets[2]?.resetAndDestroy()
    await relay.record(2)
    t.equal(relay.activeOn('acme', echo.port), 1)
    await relay.driver.stop()
    await relay.record(3)
    t.equal(relay.activeOn('acme', echo.port), 0)
  })

  for (const scheduler of ['sh', 'mh'] as const) {
    compliance(`${scheduler} sends a client to the same endpoint, whichever worker takes it`, async (t) => {
      const backends = [await startEcho(t), await startEcho(t), await startEcho(t)]
      const relay = await startRelay(t, { createDriver, workers, tenants: [tenant('acme', backends.map(({ port }) => endpoint(port)), { scheduler })] })
      for (let count = 0; count < 12; count++) {
        const [client] = await relayedClients(t, relay, 1)
        client?.end()
        await relay.record(count)
      }
      t.same(backends.map(({ sockets }) => sockets.length).toSorted((left, right) => left - right), [0, 0, 12])
    })
  }

  for (const scheduler of schedulerKinds) {
    compliance(`${scheduler} leaves out an endpoint that is down, in every worker and from the next connection on`, async (t) => {
      const [one, two, three] = [await startEcho(t), await startEcho(t), await startEcho(t)]
      const relay = await startRelay(t, { createDriver, workers, tenants: [tenant('acme', [one, two, three].map(({ port }) => endpoint(port)), { scheduler })] })
      relay.checked(one.port, 'down')
      relay.checked(two.port, 'down')
      const before = await relayedClients(t, relay, 6)
      t.same([openOn(one), openOn(two), openOn(three)], [0, 0, 6])
      relay.checked(one.port, 'ready')
      relay.checked(three.port, 'down')
      await relayedClients(t, relay, 6)
      t.same([openOn(one), openOn(two), openOn(three)], [6, 0, 6], 'connections that there are stay')
      for (const client of before) client.end()
    })
  }

  compliance('an endpoint that drains gets nothing, however few others there are, and is told apart from one that failed', async (t) => {
    const [one, two] = [await startEcho(t), await startEcho(t)]
    const relay = await startRelay(t, { createDriver, workers, tenants: [tenant('acme', [endpoint(one.port), endpoint(two.port)], { scheduler: 'wlc' })] })
    await relayedClients(t, relay, 4)
    relay.register.setOperatorState({ address: '127.0.0.1', port: one.port }, 'draining')
    relay.checked(two.port, 'down')
    await relayedClients(t, relay, 4)
    t.same([openOn(one), openOn(two)], [2, 6], 'one that failed is tried, since nobody else is left')
    relay.register.setOperatorState({ address: '127.0.0.1', port: two.port }, 'down')
    const refused = await dial(t, relay.port, hello)
    t.same((await readToEnd(refused)).bytes, Buffer.from(encodeFatalAlert('internal_error')))
    t.match(await relay.record(0), { reason: 'no-endpoint' })
    relay.register.setOperatorState({ address: '127.0.0.1', port: one.port }, undefined)
    await relayedClients(t, relay, 1)
    t.same([openOn(one), openOn(two)], [3, 6])
  })

  compliance('where all are down each is tried, and an attempt that fails goes on to another that is down', async (t) => {
    const [echo, gone] = [await startEcho(t), await startEcho(t)]
    await gone.close()
    const relay = await startRelay(t, { createDriver, workers, tenants: [tenant('acme', [endpoint(gone.port), endpoint(echo.port), endpoint(9, { weight: 0 })], { scheduler: 'wlc' })] })
    for (const port of [gone.port, echo.port]) relay.checked(port, 'down')
    t.equal(relay.register.figures().tenantsInPanic, 1)
    await relayedClients(t, relay, 4)
    t.equal(openOn(echo), 4)
    relay.checked(gone.port, 'ready')
    await relayedClients(t, relay, 2)
    t.equal(openOn(echo), 6, 'the one that is ready refuses: the other one is what is left')
  })

  compliance('wrr gives an endpoint turns by its weight', async (t) => {
    const [one, two] = [await startEcho(t), await startEcho(t)]
    // A worker has rounds of its own.
    const relay = await startRelay(t, { createDriver, workers: 1, tenants: [tenant('acme', [endpoint(one.port, { weight: 300 }), endpoint(two.port, { weight: 100 })], { scheduler: 'wrr' })] })
    await relayedClients(t, relay, 8)
    t.same([openOn(one), openOn(two)], [6, 2])
  })
}
