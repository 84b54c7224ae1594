// Run by own-resolver.test.ts where names are asked of 127.0.0.1, and nobody is there, or somebody who says nothing: endpoints that are
// names are not blamed for it, and one that refuses is.

import { createSocket } from 'node:dgram'
import { once } from 'node:events'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test, type Test } from 'tap'
import { createActiveCells, SharedActiveCounts } from '../../src/core/balance/active-counts.ts'
import { startGateway, type Gateway } from '../../src/gateway/gateway.ts'
import { createLogger } from '../../src/observe/log.ts'
import { Dial } from '../../src/tunnel/gateway/dial.ts'
import { buildClientHello } from '../core/tls/hello-builder.ts'
import { drivers } from '../support/admin-gateway.ts'
import { endpoint, snapshotOf, tenant } from '../support/config.ts'
import { freePort } from '../../bench/free-port.ts'
import { keptLines } from '../support/kept-lines.ts'
import { dial, readBytes, readToEnd, startEcho, until } from '../support/sockets.ts'
import { streamSockets } from '../support/stream-sockets.ts'

const name = 'api.example.test'
const failures = 3

interface Resolver {
  readonly what: string
  readonly resolve: (t: Test) => Promise<void>
  /** What a check of the name has found. */
  readonly why: string
}

const resolvers: readonly Resolver[] = [
  { what: 'a resolver that can’t be asked', resolve: async () => undefined, why: 'connection: EAI_AGAIN' },
  {
    what: 'a resolver that is silent', why: 'no address in 500 ms',
    resolve: async (t) => {
      const socket = createSocket('udp4').bind(53, '127.0.0.1')
      await once(socket, 'listening')
      t.teardown(() => void socket.close())
    },
  },
]

interface Started {
  readonly gateway: Gateway
  /** Of its log. */
  readonly lines: readonly Readonly<Record<string, unknown>>[]
}

/** @param tenants as the configuration has them */
async function start(t: Test, driver: string, tenants: string): Promise<Started> {
  const file = join(t.testdir(), 'sluice.yaml')
  writeFileSync(file, `listeners: [{ address: "127.0.0.1:0" }]
relay: { driver: ${driver} }
defaults: { health: { kind: none }, ejection: { failures: ${failures}, time: 10m }, timeouts: { connect: 500ms, drainGrace: 0s } }
admin: { address: 127.0.0.1:0 }
tenants:
${tenants}
`)
  const { lines, stream } = keptLines()
  const logger = createLogger({ stream })
  const gateway = await startGateway({ configFile: file, env: { SLUICE_RELAY_WARM_UP: '0s' }, logger })
  t.teardown(async () => await gateway.stop())
  return { gateway, lines }
}

function portOf({ listeners }: Gateway): number {
  return listeners[0]?.address.port ?? 0
}

async function relayed(t: Test, gateway: Gateway, tenantName: string): Promise<void> {
  const hello = buildClientHello({ serverName: `${tenantName}.example.test` })
  await readBytes(await dial(t, portOf(gateway), hello), hello.length)
}

for (const { what, resolve, why } of resolvers) {
  for (const driver of drivers) {
    void test(`${driver}: ${what} blames no endpoint, neither for a client’s dial nor for a check`, async (t) => {
      await resolve(t)
      const [echo, gone] = [await startEcho(t), await freePort()]
      const { gateway, lines } = await start(t, driver, `
  - { name: named, hostnames: [named.example.test], apiServer: { endpoints: ["${name}:6443", "127.0.0.1:${echo.port}"] } }
  - { name: refused, hostnames: [refused.example.test], apiServer: { endpoints: ["127.0.0.1:${gone}", "127.0.0.1:${echo.port}"] } }
  - { name: checked, hostnames: [checked.example.test], health: { kind: tcp, interval: 1s, timeout: 500ms, fall: 1 }, apiServer: { endpoints: ["${name}:6444", "127.0.0.1:${gone}"] } }`)
      const told = (text: string): unknown[] => lines.filter(({ msg }) => String(msg).startsWith(text)).map(({ endpoint: whose }) => whose)
      // The emptiest is the one that nobody reaches: so it is tried each time.
      for (let connections = 0; connections <= failures; connections++) await relayed(t, gateway, 'named')
      // What clients have met is told in its order: once that is known, so is all before it.
      while (told('endpoint ejected').length === 0) await relayed(t, gateway, 'refused')
      t.same(told('endpoint ejected'), [`127.0.0.1:${gone}`])
      await until(() => told('endpoint down').length > 0 && gateway.endpoints.list({ address: name, port: 6444 })[0]?.health.why === why)
      t.same(told('endpoint down'), [`127.0.0.1:${gone}`])
      t.match(gateway.endpoints.list({ address: name }).map(({ check, health: { state } }) => ({ check, state })), [{ check: 'none', state: 'ready' }, { check: 'tcp', state: 'ready' }])
    })
  }

  void test(`tunnel: ${what} blames no endpoint for a stream’s dial`, async (t) => {
    await resolve(t)
    const active = createActiveCells(1)
    const endpoints = [endpoint(6443, { address: name, row: 0 }), endpoint(await freePort(), { row: 1 })]
    const policy = snapshotOf({ tenants: [tenant('acme', endpoints, { connectTimeoutMs: 500 })], active: new SharedActiveCounts(active, 0) }).tenants.get('acme')
    if (policy === undefined) throw new Error('unreachable')
    const tried: string[] = []
    for (let dials = 0; dials < failures; dials++) {
      await new Promise<void>((resolve) => {
        const dialled = new Dial({ sockets: streamSockets, tenant: policy, source: '127.0.0.1', mayRetry: () => true, dialling: (to) => tried.push(to.name), first: undefined, left: () => undefined }, {
          connected: () => t.fail('connected'),
          failed: () => resolve(),
        })
        t.teardown(() => dialled.abandon())
      })
    }
    t.equal(tried.filter((each) => each === `${name}:6443`).length, failures)
    t.same([active.failuresInARow[0], active.failuresInARow[1]], [0, failures])
  })
}

for (const driver of drivers) {
  void test(`${driver}: an endpoint whose name has two addresses is refused by what is found there, and says so`, async (t) => {
    const { gateway, lines } = await start(t, driver, `  - { name: both, hostnames: [both.example.test], apiServer: { endpoints: ["both.example.test:${await freePort()}"] } }`)
    await readToEnd(await dial(t, portOf(gateway), buildClientHello({ serverName: 'both.example.test' })))
    await until(() => lines.some(({ tenant: whose }) => whose === 'both'))
    t.match(lines.find(({ tenant: whose }) => whose === 'both'), { reason: 'dial-refused', detail: /ECONNREFUSED/ })
  })
}
