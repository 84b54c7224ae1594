// What every driver must do for the tunnel's direct lane, on both sides: an agent's driver, whose listener reads no hello and
// puts a ticket before each connection's bytes, and a gateway's, which lets in who has a good one.
//
//   client ─▶ agent's driver ── PROXY header with a ticket, bytes ──▶ gateway's driver ─▶ API server
//                └─ no gateway answers: handed over, with the bytes so far

import { createHash, randomBytes } from 'node:crypto'
import { createServer, type Socket } from 'node:net'
import { once } from 'node:events'
import { test, type Test } from 'tap'
import type { Endpoint } from '../../src/core/balance/endpoint.ts'
import { encodeProxyHeader } from '../../src/core/proxy-protocol/encode.ts'
import { issueGrant, ticketLimits, type LaneGrant } from '../../src/core/tunnel/ticket.ts'
import type { RelayDriver } from '../../src/relay/driver.ts'
import { createTicketSecrets, hmacSha256, ticketFor, type TicketSecrets } from '../../src/relay/tickets.ts'
import { endpoint, tenant } from '../support/config.ts'
import { startRelay, type DriverOptions, type Relay } from '../support/relay.ts'
import { dial, readBytes, readToEnd, startBackend, startEcho, until } from '../support/sockets.ts'

/** @param taken connections that the driver hands over, with what was read of them in front */
export type CreateLaneDriver = (options: DriverOptions, taken: (socket: Socket) => void) => RelayDriver

const node = '00112233445566778899aabbccddeeff'

interface Lane {
  readonly agent: Relay
  readonly gateway: Relay
  readonly secrets: TicketSecrets
  readonly taken: Socket[]
}

interface LaneOptions {
  readonly echoPort?: number
  readonly grant?: LaneGrant
  /** In place of the gateway's. */
  readonly gatewayPort?: number
  /** No gateway is known. */
  readonly isAlone?: boolean
}

export function directLaneSuite(driverName: string, createDriver: CreateLaneDriver): void {
  const compliance = (rule: string, run: (t: Test) => Promise<void>): void => {
    void test(`${driverName}: ${rule}`, run)
  }
  const lane = async (t: Test, { echoPort, grant, gatewayPort, isAlone = false }: LaneOptions = {}): Promise<Lane> => {
    const secrets = createTicketSecrets()
    const gateway = await startRelay(t, { createDriver: (options) => createDriver({ ...options, tickets: secrets }, (socket) => socket.destroy()), tenants: [tenant('acme', [endpoint(echoPort ?? (await startEcho(t)).port)])] })
    const taken: Socket[] = []
    const its: Endpoint = { ...endpoint(gatewayPort ?? gateway.port), grant: { ...grant ?? issueGrant({ tenant: 'acme', identity: node, nowMs: Date.now() }, secrets.secret, hmacSha256), clockOffsetMs: 0 } }
    const agent = await startRelay(t, { createDriver: (options) => createDriver(options, (socket) => taken.push(socket)), tenants: [tenant('lane', isAlone ? [] : [its])], withoutHello: 'lane' })
    t.teardown(() => taken.forEach((socket) => socket.destroy()))
    return { agent, gateway, secrets, taken }
  }
  relayRules(compliance, lane)
  ticketRules(compliance, lane)
  fallbackRules(compliance, lane)
}

type Compliance = (rule: string, run: (t: Test) => Promise<void>) => void
type StartLane = (t: Test, options?: LaneOptions) => Promise<Lane>

function relayRules(compliance: Compliance, lane: StartLane): void {
  compliance('bytes of any kind cross agent and gateway both ways, and both ends see FIN', async (t) => {
    const { agent, gateway } = await lane(t)
    const client = await dial(t, agent.port)
    const bytes = randomBytes(3_000_000)
    const received = readToEnd(client)
    client.end(bytes)
    const { bytes: back, how } = await received
    t.same([sha256(back), how], [sha256(bytes), 'fin'])
    t.match(await agent.record(0), { reason: 'completed', attempts: 1, bytesFromDownstream: bytes.length, bytesFromUpstream: bytes.length })
    const record = await gateway.record(0)
    t.match(record, { reason: 'completed', tenant: 'acme', node, attempts: 1, bytesFromUpstream: bytes.length })
    t.ok(record.bytesFromDownstream > bytes.length, 'the header is counted')
  })

  compliance('a server that speaks first is heard', async (t) => {
    const server = await startBackend(t, (socket) => socket.end('welcome'))
    const { agent } = await lane(t, { echoPort: server.port })
    const client = await dial(t, agent.port)
    t.equal((await readBytes(client, 7)).toString(), 'welcome')
  })

  compliance('a reset crosses both', async (t) => {
    const server = await startBackend(t, (socket) => socket.once('data', () => {
      socket.write('x')
      socket.once('data', () => socket.resetAndDestroy())
    }))
    const { agent } = await lane(t, { echoPort: server.port })
    const client = await dial(t, agent.port, Buffer.from('a'))
    await readBytes(client, 1)
    client.write('b')
    t.match(await readToEnd(client), { how: 'ECONNRESET' })
  })

  compliance('a node that is revoked is cut at once and let through no more; others go on', async (t) => {
    const { agent, gateway, secrets } = await lane(t)
    const client = await dial(t, agent.port, Buffer.from('x'))
    await readBytes(client, 1)
    const other = await dial(t, gateway.port, withTicket(issueGrant({ tenant: 'acme', identity: 'ff'.repeat(16), nowMs: Date.now() }, secrets.secret, hmacSha256), 'y'))
    await readBytes(other, 1)
    await gateway.driver.revoke(node)
    t.match(await readToEnd(client), { how: 'ECONNRESET' })
    t.match(await gateway.record(0), { reason: 'node-revoked', node })
    other.write('still here')
    t.equal((await readBytes(other, 10)).toString(), 'still here')
    const late = await dial(t, gateway.port, withTicket(issueGrant({ tenant: 'acme', identity: node, nowMs: Date.now() }, secrets.secret, hmacSha256), 'z'))
    t.match(await readToEnd(late), { how: 'ECONNRESET' })
    t.match(await gateway.record(1), { reason: 'ticket-refused', detail: 'its node was revoked' })
  })
}

function ticketRules(compliance: Compliance, lane: StartLane): void {
  compliance('tickets that were not granted here, are too old, are used twice or name no tenant are refused, and nothing is dialled', async (t) => {
    const { gateway, secrets } = await lane(t)
    const grant = (facts: { tenant?: string; nowMs?: number; secret?: Uint8Array } = {}): LaneGrant => issueGrant({ tenant: facts.tenant ?? 'acme', identity: node, nowMs: facts.nowMs ?? Date.now() }, facts.secret ?? secrets.secret, hmacSha256)
    const used = withTicket(grant(), 'x')
    await readBytes(await dial(t, gateway.port, used), 1)
    const changed = Buffer.from(withTicket(grant(), 'x'))
    changed[changed.length - 4] = (changed[changed.length - 4] ?? 0) ^ 1
    const cases: readonly (readonly [string, Uint8Array])[] = [
      ['a ticket that was used before', used],
      ['a ticket that was not granted here', withTicket(grant({ secret: randomBytes(32) }), 'x')],
      ['a ticket that was not granted here', changed],
      ['a grant that has expired', withTicket(grant({ nowMs: Date.now() - ticketLimits.grantLifeMs - 1_000 }), 'x')],
      ['a ticket of -31 s from now', withTicket(grant(), 'x', -31_000)],
      ['a ticket of 32 s from now', withTicket(grant(), 'x', 32_000)],
      ['a ticket of another form', proxyHeader(Buffer.from('x'))],
      ['a PROXY header without a ticket, from a source that is not in proxyProtocol.trustedSources', proxyHeader()],
    ]
    for (const [index, [detail, bytes]] of cases.entries()) {
      t.match(await readToEnd(await dial(t, gateway.port, bytes)), { how: 'ECONNRESET' }, detail)
      t.match(await gateway.record(index), { reason: 'ticket-refused', detail, attempts: 0 })
    }
    t.match(await readToEnd(await dial(t, gateway.port, withTicket(grant({ tenant: 'globex' }), 'x'))), { how: 'ECONNRESET' })
    t.match(await gateway.record(cases.length), { reason: 'no-endpoint', detail: 'its tenant is no longer in the configuration' })
    t.equal(gateway.driver.counters().dials, 1)
  })

  compliance('a header that comes a byte at a time is read like a whole one', async (t) => {
    const { gateway, secrets } = await lane(t)
    const client = await dial(t, gateway.port)
    for (const byte of withTicket(issueGrant({ tenant: 'acme', identity: node, nowMs: Date.now() }, secrets.secret, hmacSha256), 'hello')) {
      client.write(Uint8Array.of(byte))
      await new Promise(setImmediate)
    }
    t.equal((await readBytes(client, 5)).toString(), 'hello')
  })
}

function fallbackRules(compliance: Compliance, lane: StartLane): void {
  compliance('without a gateway a connection is handed over at once', async (t) => {
    const { agent, taken } = await lane(t, { isAlone: true })
    const client = await dial(t, agent.port, Buffer.from('hello'))
    await until(() => taken.length === 1)
    const [socket] = taken
    if (socket === undefined) throw new Error('unreachable')
    t.equal((await readBytes(socket, 5)).toString(), 'hello')
    socket.end('from elsewhere')
    t.equal((await readToEnd(client)).bytes.toString(), 'from elsewhere')
    t.match(await agent.record(0), { reason: 'handed-over', detail: 'no-endpoint' })
  })

  compliance('where the gateway refuses, or can’t reach an API server, a connection is handed over with all its bytes', async (t) => {
    const refuses = await lane(t, { grant: issueGrant({ tenant: 'acme', identity: node, nowMs: Date.now() }, randomBytes(32), hmacSha256) })
    const unreachable = await lane(t, { echoPort: 1 })
    for (const { agent, taken } of [refuses, unreachable]) {
      const client = await dial(t, agent.port, Buffer.from('a hello'))
      await until(() => taken.length === 1)
      const [socket] = taken
      if (socket === undefined) throw new Error('unreachable')
      client.write(' and more')
      t.equal((await readBytes(socket, 16)).toString(), 'a hello and more')
      t.match(await agent.record(0), { reason: 'handed-over', detail: /^reset-before-answer/ })
      client.destroy()
    }
  })

  compliance('a connection that was answered is not handed over: it ends as its gateway’s does', async (t) => {
    const closing = createServer((socket) => socket.once('data', () => socket.write('x', () => socket.resetAndDestroy()))).listen(0, '127.0.0.1')
    await once(closing, 'listening')
    t.teardown(() => closing.close())
    const at = closing.address()
    const { agent, taken } = await lane(t, { gatewayPort: typeof at === 'object' && at !== null ? at.port : 0 })
    const client = await dial(t, agent.port, Buffer.from('a'))
    t.match(await readToEnd(client), { how: 'ECONNRESET' })
    t.equal(taken.length, 0)
    t.match(await agent.record(0), { reason: 'upstream-reset' })
  })
}

function withTicket(grant: LaneGrant, text: string, clockOffsetMs = 0): Buffer {
  return Buffer.concat([proxyHeader(ticketFor({ ...grant, clockOffsetMs })), Buffer.from(text)])
}

function proxyHeader(ticket?: Uint8Array): Uint8Array {
  return encodeProxyHeader({ version: 'v2', source: { address: '10.0.0.1', port: 1 }, destination: { address: '10.0.0.2', port: 2 }, ...(ticket === undefined ? {} : { ticket }) })
}

function sha256(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex')
}
