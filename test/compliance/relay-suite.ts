// What every driver must do: the relay rules, with real sockets. A driver's test file calls `relaySuite` and nothing else.

import { randomBytes } from 'node:crypto'
import type { Socket } from 'node:net'
import { networkInterfaces } from 'node:os'
import { test, type Test } from 'tap'
import { encodeFatalAlert } from '../../src/core/tls/alert.ts'
import { encodeProxyHeader } from '../../src/core/proxy-protocol/encode.ts'
import type { RelayCounters } from '../../src/core/relay-observer.ts'
import type { RelayDriver } from '../../src/relay/driver.ts'
import { buildClientHello, splitIntoRecords } from '../core/tls/hello-builder.ts'
import { changeOf, endpoint, listener, listenerName, tenant } from '../support/config.ts'
import { startRelay, type CreateDriver } from '../support/relay.ts'
import { dial, readBytes, readToEnd, startBackend, startEcho, until } from '../support/sockets.ts'
import { balanceRules } from './balance-rules.ts'
import { cannotMakeHosts, startVanishingHost } from './vanished-host.ts'
import { unresponsivePort } from '../support/unresponsive-port.ts'

const hello = buildClientHello({ serverName: 'acme.example.test' })

export function relaySuite(driverName: string, createDriver: CreateDriver): void {
  const compliance = (rule: string, run: (t: Test) => Promise<void>): void => {
    void test(`${driverName}: ${rule}`, run)
  }
  routeRules(compliance, createDriver)
  finRules(compliance, createDriver)
  resetRules(compliance, createDriver)
  resetBehindPause(compliance, createDriver)
  backpressureRules(compliance, createDriver)
  silentRules(compliance, createDriver)
  dialRules(compliance, createDriver)
  lifecycleRules(compliance, createDriver)
  balanceRules(compliance, createDriver)
  void test(`${driverName}: a client on the same link has an address without its zone`, { skip: linkLocal === undefined && 'no link-local address' }, async (t) => {
    if (linkLocal === undefined) return
    const echo = await startEcho(t)
    const relay = await startRelay(t, { createDriver, tenants: [tenant('acme', [endpoint(echo.port)], { allowedSources: ['fe80::/10'] })] })
    await relay.driver.unlisten(listenerName)
    const { port } = await relay.driver.listen(listenerName, { address: '::', port: 0 }, { ipv6Only: true })
    const client = await dial(t, port, hello, linkLocal.zoned)
    await readBytes(client, hello.length)
    client.end()
    t.match(await relay.record(0), { reason: 'completed', client: { address: linkLocal.address } })
  })
  void test(`${driverName}: an API server whose host vanishes is noticed, and its clients are reset`, { skip: cannotMakeHosts() ?? false }, async (t) => {
    await vanishedHost(t, createDriver)
  })
  void test(`${driverName}: … with bytes in flight too`, { skip: cannotMakeHosts() ?? false }, async (t) => {
    await vanishedHost(t, createDriver, Buffer.from('nobody acknowledges this'))
  })
}

export type Compliance = (rule: string, run: (t: Test) => Promise<void>) => void

/** A relay with tenant acme on `port`, and a client that has sent its hello. */
async function relayed(t: Test, createDriver: CreateDriver, port: number): Promise<{ relay: Awaited<ReturnType<typeof startRelay>>; client: Socket }> {
  const relay = await startRelay(t, { createDriver, tenants: [tenant('acme', [endpoint(port)])] })
  const client = await dial(t, relay.port, hello)
  return { relay, client }
}

function routeRules(compliance: Compliance, createDriver: CreateDriver): void {
  compliance('a hello in any segments and records reaches the tenant that it names, unchanged', async (t) => {
    const acme = await startEcho(t)
    const globex = await startEcho(t)
    const relay = await startRelay(t, { createDriver, tenants: [tenant('acme', [endpoint(acme.port)]), tenant('globex', [endpoint(globex.port)])] })
    for (const [name, backend] of [['acme', acme], ['globex', globex]] as const) {
      const whole = buildClientHello({ serverName: `${name}.example.test` })
      for (const bytes of [whole, splitIntoRecords(whole, 1), splitIntoRecords(whole, 7)]) {
        const before = backend.sockets.length
        const client = await dial(t, relay.port)
        for (const byte of bytes.subarray(0, 60)) client.write(Uint8Array.of(byte))
        client.write(bytes.subarray(60))
        t.same(await readBytes(client, bytes.length), Buffer.from(bytes))
        t.equal(backend.sockets.length, before + 1)
        client.end()
        await readToEnd(client)
      }
    }
    await relay.record(5)
    t.same(relay.records.map(({ reason }) => reason), Array.from({ length: 6 }, () => 'completed'))
  })

  compliance('bytes behind the hello are forwarded once, in order', async (t) => {
    const echo = await startEcho(t)
    const relay = await startRelay(t, { createDriver, tenants: [tenant('acme', [endpoint(echo.port)])] })
    const early = randomBytes(200_000)
    const client = await dial(t, relay.port, Buffer.concat([hello, early]))
    t.same(await readBytes(client, hello.length + early.length), Buffer.concat([hello, early]))
  })

  compliance('what is refused gets its alert or a close, and no endpoint hears of it', async (t) => {
    const backend = await startBackend(t)
    const relay = await startRelay(t, {
      createDriver,
      tenants: [
        tenant('acme', [endpoint(backend.port)]),
        tenant('closed', [endpoint(backend.port)], { allowedSources: ['192.0.2.0/24'] }),
        tenant('quiesced', [endpoint(backend.port, { weight: 0 })]),
      ],
    })
    const cases = [
      { bytes: buildClientHello({ serverName: 'nobody.example.test' }), reason: 'unknown-server-name', alert: 'unrecognized_name' },
      { bytes: buildClientHello({}), reason: 'no-server-name', alert: 'unrecognized_name' },
      { bytes: buildClientHello({ serverName: 'closed.example.test' }), reason: 'source-not-allowed', alert: 'access_denied' },
      { bytes: buildClientHello({ serverName: 'quiesced.example.test' }), reason: 'no-endpoint', alert: 'internal_error' },
      { bytes: Buffer.from('GET / HTTP/1.1\r\nHost: acme.example.test\r\n\r\n'), reason: 'hello-not-tls', alert: undefined },
    ] as const
    for (const [index, { bytes, reason, alert }] of cases.entries()) {
      const client = await dial(t, relay.port, bytes)
      const ending = await readToEnd(client)
      t.same(ending, { bytes: alert === undefined ? Buffer.alloc(0) : Buffer.from(encodeFatalAlert(alert)), how: 'fin' }, reason)
      client.end()
      t.match(await relay.record(index), { reason, attempts: 0, closedBy: 'gateway' })
    }
    t.equal(backend.sockets.length, 0)
  })

  compliance('half a hello and FIN dials nobody; a byte now and then does not move the deadline', async (t) => {
    const backend = await startBackend(t)
    const relay = await startRelay(t, { createDriver, tenants: [tenant('acme', [endpoint(backend.port)])], helloMs: 300 })
    const leaving = await dial(t, relay.port, hello.subarray(0, 100))
    leaving.end()
    t.match(await readToEnd(leaving), { how: 'fin' })
    t.match(await relay.record(0), { reason: 'closed-before-hello', closedBy: 'downstream' })
    const slow = await dial(t, relay.port)
    let sent = 0
    const trickle = setInterval(() => slow.write(hello.subarray(sent, ++sent)), 20)
    await readToEnd(slow)
    clearInterval(trickle)
    t.match(await relay.record(1), { reason: 'hello-timeout' })
    t.ok(sent < hello.length)
    t.equal(backend.sockets.length, 0)
  })

  compliance('a hello that has arrived in time is not late because this thread was held up', async (t) => {
    const echo = await startEcho(t)
    const helloMs = 1_000
    const relay = await startRelay(t, { createDriver, tenants: [tenant('acme', [endpoint(echo.port)])], helloMs })
    const client = await dial(t, relay.port)
    await until(() => relay.driver.counters().openConnectionsBeforeHello === 1)
    // The bytes are with the system before the thread stands still; a driver in threads of its own has no trouble at all.
    client.write(hello)
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, helloMs * 1.5)
    t.same(await readBytes(client, hello.length), Buffer.from(hello))
    client.end()
    t.match(await relay.record(0), { reason: 'completed' })
  })

  compliance('a snapshot swapped while a hello is being read leaves that connection with the one that it began with', async (t) => {
    const before = await startEcho(t)
    const after = await startEcho(t)
    const relay = await startRelay(t, { createDriver, tenants: [tenant('acme', [endpoint(before.port)])] })
    const early = await dial(t, relay.port, hello.subarray(0, 50))
    await until(() => relay.driver.counters().bytesFromDownstream === 50)
    await relay.driver.publish({ ...changeOf({ tenants: [tenant('acme', [endpoint(after.port)])] }), version: 2, removedTenants: [] })
    early.write(hello.subarray(50))
    await readBytes(early, hello.length)
    const late = await dial(t, relay.port, hello)
    await readBytes(late, hello.length)
    t.same([before.sockets.length, after.sockets.length], [1, 1])
    early.end()
    late.end()
    await Promise.all([readToEnd(early), readToEnd(late)])
    await relay.record(1)
    t.same(new Set(relay.records.map(({ snapshotVersion }) => snapshotVersion)), new Set([1, 2]))
  })

  compliance('a change is in force once it is published: for tenants that it names, for default tenants, and for no others', async (t) => {
    const [before, after] = [await startEcho(t), await startEcho(t)]
    const listeners = [listener({ defaultTenant: 'acme' })]
    const relay = await startRelay(t, { createDriver, listener: { defaultTenant: 'acme' }, tenants: ['acme', 'globex', 'initech'].map((name) => tenant(name, [endpoint(before.port)])) })
    const reached = async (serverName?: string): Promise<'before' | 'after' | 'nobody'> => {
      const whole = buildClientHello(serverName === undefined ? {} : { serverName: `${serverName}.example.test` })
      const counts = [before.sockets.length, after.sockets.length]
      const client = await dial(t, relay.port, whole)
      const answered = (await readBytes(client, whole.length).catch(() => Buffer.alloc(0))).equals(whole)
      client.destroy()
      if (!answered) return 'nobody'
      return before.sockets.length > (counts[0] ?? 0) ? 'before' : 'after'
    }
    const everybody = async (): Promise<readonly string[]> => [await reached('acme'), await reached(), await reached('globex'), await reached('initech'), await reached('hooli')]
    t.same(await everybody(), ['before', 'before', 'before', 'before', 'nobody'])
    const tenants = ['acme', 'hooli'].map((name) => tenant(name, [endpoint(after.port)]))
    await relay.driver.publish({ ...changeOf({ tenants, listeners }), version: 2, removedTenants: ['initech'] })
    t.same(await everybody(), ['after', 'after', 'before', 'nobody', 'after'])
    await relay.driver.publish(changeOf({ tenants: [tenant('acme', [endpoint(before.port)])], listeners, version: 3 }))
    t.same(await everybody(), ['before', 'before', 'nobody', 'nobody', 'nobody'])
    t.same(new Set(relay.records.map(({ snapshotVersion }) => snapshotVersion)), new Set([1, 2, 3]))
  })

  compliance('a PROXY header is read from trusted sources, demanded of them, and sent to tenants that want it', async (t) => {
    const backend = await startBackend(t)
    const source = { address: '203.0.113.9', port: 4321 }
    const destination = { address: '198.51.100.1', port: 6443 }
    const header = encodeProxyHeader({ version: 'v2', source, destination })
    const relay = await startRelay(t, {
      createDriver,
      tenants: [tenant('acme', [endpoint(backend.port)], { sendProxyProtocol: { version: 'v1' }, allowedSources: ['203.0.113.0/24'] })],
      listener: { proxyProtocol: { trustedSources: ['127.0.0.0/8'] } },
    })
    const client = await dial(t, relay.port)
    for (const byte of header) client.write(Uint8Array.of(byte))
    client.write(hello)
    const expected = Buffer.concat([Buffer.from('PROXY TCP4 203.0.113.9 198.51.100.1 4321 6443\r\n'), hello])
    t.same(await readBytes(await backend.socket(0), expected.length), expected)
    client.resetAndDestroy()
    t.match(await relay.record(0), { client: source, downstream: { address: '127.0.0.1' } })
    const answered = await dial(t, relay.port, Buffer.concat([header, hello]))
    const upstream = await backend.socket(1)
    upstream.write('x')
    await readBytes(answered, 1)
    answered.resetAndDestroy()
    t.match(await relay.record(1), { reason: 'downstream-reset', client: source, downstream: { address: '127.0.0.1' } })
    const bare = await dial(t, relay.port, hello)
    await readToEnd(bare)
    t.match(await relay.record(2), { reason: 'proxy-header-invalid' })

    const telling = await startRelay(t, {
      createDriver,
      tenants: [tenant('acme', [endpoint(backend.port)], { sendProxyProtocol: { version: 'v2', tlvs: ['unique-id', 'authority'] } })],
      listener: { proxyProtocol: { trustedSources: ['127.0.0.0/8'] } },
    })
    const told = { source, destination, authority: 'acme.example.test', uniqueId: Buffer.from('of the balancer') }
    const passed = Buffer.concat([encodeProxyHeader({ version: 'v2', ...told }), hello])
    const last = await dial(t, telling.port, passed)
    const toldUpstream = await backend.socket(2)
    t.same(await readBytes(toldUpstream, passed.length), passed)
    toldUpstream.write('x')
    await readBytes(last, 1)
    last.resetAndDestroy()
    t.match(await telling.record(0), { client: source, proxied: { authority: told.authority, uniqueId: told.uniqueId } })

    const distrusting = await startRelay(t, {
      createDriver, tenants: [tenant('acme', [endpoint(backend.port)])], listener: { proxyProtocol: { trustedSources: ['192.0.2.0/24'] } },
    })
    await readToEnd(await dial(t, distrusting.port, Buffer.concat([header, hello])))
    t.match(await distrusting.record(0), { reason: 'proxy-source-untrusted' })
    t.equal(backend.sockets.length, 3)
  })
}

/** On this machine, with its zone: what a peer on the same link would dial. */
const linkLocal = Object.entries(networkInterfaces()).flatMap(([name, addresses = []]) =>
  addresses.filter(({ family, scopeid }) => family === 'IPv6' && scopeid !== undefined && scopeid > 0).map(({ address }) => ({ address, zoned: `${address}%${name}` })))[0]

function finRules(compliance: Compliance, createDriver: CreateDriver): void {
  compliance('the client’s FIN crosses, and the answer still completes', async (t) => {
    const answer = randomBytes(3_000_000)
    const backend = await startBackend(t)
    const { relay, client } = await relayed(t, createDriver, backend.port)
    const upstream = await backend.socket(0)
    upstream.write('x')
    await readBytes(client, 1)
    client.end('question')
    const question = await readToEnd(upstream)
    t.same(question, { bytes: Buffer.concat([hello, Buffer.from('question')]), how: 'fin' })
    upstream.end(answer)
    const ending = await readToEnd(client)
    t.equal(ending.how, 'fin')
    t.ok(ending.bytes.equals(answer))
    t.match(await relay.record(0), { reason: 'completed', closedBy: 'downstream', bytesFromUpstream: answer.length + 1, bytesFromDownstream: hello.length + 8 })
  })

  compliance('the API server’s FIN crosses, and the client may go on sending', async (t) => {
    const rest = randomBytes(3_000_000)
    const backend = await startBackend(t)
    const { relay, client } = await relayed(t, createDriver, backend.port)
    const upstream = await backend.socket(0)
    upstream.end('goodbye')
    t.same(await readToEnd(client), { bytes: Buffer.from('goodbye'), how: 'fin' })
    client.end(rest)
    const ending = await readToEnd(upstream)
    t.equal(ending.how, 'fin')
    t.ok(ending.bytes.equals(Buffer.concat([hello, rest])))
    t.match(await relay.record(0), { reason: 'completed', closedBy: 'upstream' })
  })

  compliance('a half-closed connection on which nothing moves ends after halfClosed', async (t) => {
    const backend = await startBackend(t)
    const relay = await startRelay(t, { createDriver, tenants: [tenant('acme', [endpoint(backend.port)], { halfClosedTimeoutMs: 200 })] })
    const client = await dial(t, relay.port, hello)
    const upstream = await backend.socket(0)
    client.end()
    await readToEnd(upstream)
    t.match(await relay.record(0), { reason: 'half-closed-timeout', closedBy: 'gateway' })
  })

  compliance('a connection on which nothing moves ends after idle', async (t) => {
    const echo = await startEcho(t)
    const relay = await startRelay(t, { createDriver, tenants: [tenant('acme', [endpoint(echo.port)], { idleTimeoutMs: 1_000 })] })
    const client = await dial(t, relay.port, hello)
    await readBytes(client, hello.length)
    t.match(await readToEnd(client), { how: 'ECONNRESET' })
    t.match(await relay.record(0), { reason: 'idle-timeout', closedBy: 'gateway' })
  })
}

function resetRules(compliance: Compliance, createDriver: CreateDriver): void {
  for (const { size, byteLength } of [{ size: 'no bytes', byteLength: 0 }, { size: 'a few bytes', byteLength: 100 }, { size: 'a burst', byteLength: 2_000_000 }]) {
    compliance(`the API server’s RST crosses as RST, after ${size} before it`, async (t) => {
      const bytes = randomBytes(byteLength)
      const backend = await startBackend(t)
      const { relay, client } = await relayed(t, createDriver, backend.port)
      const upstream = await backend.socket(0)
      upstream.write('x')
      await readBytes(client, 1)
      const ending = readToEnd(client)
      if (byteLength > 0) upstream.write(bytes)
      // A RST discards what the backend's own kernel still holds: it comes once the relay has read everything.
      await until(() => relay.driver.counters().bytesFromUpstream === byteLength + 1)
      upstream.resetAndDestroy()
      const { bytes: received, how } = await ending
      t.equal(how, 'ECONNRESET')
      t.ok(received.equals(bytes))
      t.match(await relay.record(0), { reason: 'upstream-reset', closedBy: 'upstream' })
    })

    compliance(`the client’s RST crosses as RST, after ${size} before it`, async (t) => {
      const bytes = randomBytes(byteLength)
      const backend = await startBackend(t)
      const { relay, client } = await relayed(t, createDriver, backend.port)
      const upstream = await backend.socket(0)
      upstream.write('x')
      await readBytes(client, 1)
      const ending = readToEnd(upstream)
      if (byteLength > 0) client.write(bytes)
      await until(() => relay.driver.counters().bytesFromDownstream === hello.length + byteLength)
      client.resetAndDestroy()
      const { bytes: received, how } = await ending
      t.equal(how, 'ECONNRESET')
      t.ok(received.equals(Buffer.concat([hello, bytes])))
      t.match(await relay.record(0), { reason: 'downstream-reset', closedBy: 'downstream' })
    })
  }

  compliance('a RST after a FIN ends the other side too', async (t) => {
    const backend = await startBackend(t)
    const { relay, client } = await relayed(t, createDriver, backend.port)
    const upstream = await backend.socket(0)
    upstream.write('x')
    await readBytes(client, 1)
    client.end()
    await readToEnd(upstream)
    client.pause()
    // Not events.once, which would reject for the EPIPE that precedes it.
    const ended = new Promise((resolve) => {
      upstream.once('close', resolve)
    })
    upstream.write(Buffer.alloc(100_000))
    await until(() => relay.driver.counters().bytesFromUpstream === 100_001)
    // Closing with unread bytes makes the system send RST.
    client.destroy()
    const more = setInterval(() => upstream.write('more'), 10)
    await ended
    clearInterval(more)
    t.match(await relay.record(0), { reason: 'downstream-reset' })
  })

  compliance('bytes before a RST reach a reader that was stalled when it came', async (t) => {
    const backend = await startBackend(t)
    const { relay, client } = await relayed(t, createDriver, backend.port)
    const upstream = await backend.socket(0)
    upstream.write('x')
    await readBytes(client, 1)
    client.pause()
    const bytes = randomBytes(600_000)
    upstream.write(bytes)
    await until(() => relay.driver.counters().bytesFromUpstream === bytes.length + 1)
    upstream.resetAndDestroy()
    await relay.record(0)
    const { bytes: received, how } = await readToEnd(client)
    t.equal(how, 'ECONNRESET')
    t.ok(received.equals(bytes))
  })
}

/** One side stalls until the other is no longer read; what then comes before a RST must not be lost either. */
function resetBehindPause(compliance: Compliance, createDriver: CreateDriver): void {
  for (const stalled of ['client', 'API server'] as const) {
    compliance(`bytes received behind a pause, and then a RST, still reach a stalled ${stalled}`, async (t) => {
      const backend = await startBackend(t)
      const { relay, client } = await relayed(t, createDriver, backend.port)
      const upstream = await backend.socket(0)
      upstream.write('x')
      await readBytes(client, 1)
      if (stalled === 'API server') await readBytes(upstream, hello.length)
      const [reader, sender] = stalled === 'client' ? [client, upstream] : [upstream, client]
      const movedBytes = (): number => {
        const { bytesFromDownstream, bytesFromUpstream } = relay.driver.counters()
        return bytesFromDownstream + bytesFromUpstream - hello.length - 1
      }
      reader.pause()
      const piece = Buffer.alloc(50_000, 'a')
      let sentBytes = 0
      const send = (bytes: Buffer): void => {
        sender.write(bytes)
        sentBytes += bytes.length
      }
      while (relay.driver.counters().backpressurePauses === 0) {
        send(piece)
        // The pause may come in the middle of a piece: the rest of it is behind the pause already.
        await until(() => movedBytes() === sentBytes || relay.driver.counters().backpressurePauses > 0)
      }
      send(Buffer.from('the last bytes'))
      // Nothing tells when the relay's system has them; a RST that overtakes them would discard them on the sender's side.
      await until(() => sender.writableLength === 0)
      sender.resetAndDestroy()
      const { bytes, how } = await readToEnd(reader)
      t.equal(how, 'ECONNRESET')
      t.equal(bytes.subarray(-14).toString(), 'the last bytes')
      t.equal(bytes.length, sentBytes)
    })
  }
}

function backpressureRules(compliance: Compliance, createDriver: CreateDriver): void {
  for (const stalled of ['client', 'API server'] as const) {
    compliance(`a ${stalled} that stops reading stops the sender, and harms nobody else`, async (t) => {
      const flood = Buffer.alloc(1024 * 1024, 7)
      const backend = await startBackend(t, (socket) => {
        if (backend.sockets.length > 1) socket.pipe(socket)
      })
      const { relay, client } = await relayed(t, createDriver, backend.port)
      const upstream = await backend.socket(0)
      upstream.write('x')
      await readBytes(client, 1)
      const [reader, sender] = stalled === 'client' ? [client, upstream] : [upstream, client]
      reader.pause()
      let sentBytes = 0
      const pump = (): void => {
        while (!sender.destroyed && sender.write(flood)) sentBytes += flood.length
        sentBytes += flood.length
      }
      sender.on('drain', pump)
      pump()
      const other = await dial(t, relay.port, hello)
      await readBytes(other, hello.length)
      await until(() => relay.driver.counters().backpressurePauses > 0)
      // The first pause need not be the last: the system's buffers grow as they fill.
      const { bytesFromDownstream, bytesFromUpstream } = await countersAtRest(relay.driver)
      for (let round = 0; round < 200; round++) {
        other.write('ping')
        t.equal((await readBytes(other, 4)).toString(), 'ping')
      }
      // What the kernel moves by itself is counted a moment later.
      const after = await countersAtRest(relay.driver)
      const moved = after.bytesFromDownstream - bytesFromDownstream + after.bytesFromUpstream - bytesFromUpstream
      t.equal(moved, 200 * 4 * 2, 'the stalled flow did not move meanwhile')
      t.ok(sentBytes < 64 * flood.length, 'the sender stopped')
      sender.off('drain', pump)
      sender.end()
      const { bytes } = await readToEnd(reader)
      t.ok(bytes.length >= sentBytes - flood.length, 'and what was sent arrives once it reads again')
    })
  }
}

function silentRules(compliance: Compliance, createDriver: CreateDriver): void {
  // More than could be given to another endpoint.
  const flood = randomBytes(1024 * 1024)
  compliance('what a client sends behind its hello arrives though its API server says nothing', async (t) => {
    const backend = await startBackend(t)
    const { client } = await relayed(t, createDriver, backend.port)
    client.end(flood)
    const { bytes } = await readToEnd(await backend.socket(0))
    t.ok(bytes.equals(Buffer.concat([hello, flood])))
  })
  compliance('… and what it sends later', async (t) => {
    const backend = await startBackend(t)
    const { client } = await relayed(t, createDriver, backend.port)
    const upstream = await backend.socket(0)
    await readBytes(upstream, hello.length)
    client.end(flood)
    const { bytes } = await readToEnd(upstream)
    t.ok(bytes.equals(flood))
  })
}

/** Once they have stayed the same over some looks. */
async function countersAtRest(driver: RelayDriver): Promise<RelayCounters> {
  let [looks, before] = [0, driver.counters()]
  await until(() => {
    const now = driver.counters()
    looks = now.bytesFromDownstream + now.bytesFromUpstream === before.bytesFromDownstream + before.bytesFromUpstream ? looks + 1 : 0
    before = now
    return looks > 30
  })
  return before
}

function dialRules(compliance: Compliance, createDriver: CreateDriver): void {
  compliance('an endpoint that refuses, times out, resets before its answer or says nothing is replaced by the next, the hello replayed once', async (t) => {
    const echo = await startEcho(t)
    const closed = await startBackend(t)
    await closed.close()
    const resetting = await startBackend(t, (socket) => socket.once('data', () => socket.resetAndDestroy()))
    const ending = await startBackend(t, (socket) => socket.once('data', () => socket.end()))
    const full = await unresponsivePort(t)
    // As a process that is stopped: the system accepts for it.
    const silent = await startBackend(t)
    for (const [index, port] of [closed.port, resetting.port, ending.port, full, silent.port].entries()) {
      const relay = await startRelay(t, { createDriver, tenants: [tenant('acme', [endpoint(port), endpoint(echo.port)], { connectTimeoutMs: 200, answerTimeoutMs: 2_000 })] })
      // Whose turn is first is the driver's choice: sooner or later it is the one that fails.
      for (let connection = 0, attempts = 0; attempts < 2; connection++) {
        const client = await dial(t, relay.port, Buffer.concat([hello, Buffer.from('early')]))
        t.same(await readBytes(client, hello.length + 5), Buffer.concat([hello, Buffer.from('early')]), `failure ${index}`)
        client.end()
        t.same(await readToEnd(client), { bytes: Buffer.alloc(0), how: 'fin' })
        const record = await relay.record(connection)
        t.match(record, { reason: 'completed', endpoint: `127.0.0.1:${echo.port}` })
        attempts = record.attempts
      }
    }
  })

  compliance('when every endpoint fails the client gets an internal_error alert', async (t) => {
    const closed = await startBackend(t)
    await closed.close()
    const resetting = await startBackend(t, (socket) => socket.once('data', () => socket.resetAndDestroy()))
    const full = await unresponsivePort(t)
    const silent = await startBackend(t)
    for (const { ports, reason } of [
      { ports: [closed.port], reason: 'dial-refused' },
      { ports: [full], reason: 'dial-timeout' },
      { ports: [resetting.port], reason: 'reset-before-answer' },
      { ports: [silent.port], reason: 'answer-timeout' },
      // That of the last, whichever that is.
      { ports: [full, closed.port, resetting.port], reason: /^(dial-refused|dial-timeout|reset-before-answer)$/ },
    ]) {
      const relay = await startRelay(t, { createDriver, tenants: [tenant('acme', ports.map((port) => endpoint(port)), { connectTimeoutMs: 200, answerTimeoutMs: 2_000 })] })
      const client = await dial(t, relay.port, hello)
      t.same(await readToEnd(client), { bytes: Buffer.from(encodeFatalAlert('internal_error')), how: 'fin' })
      client.end()
      t.match(await relay.record(0), { reason, attempts: ports.length })
    }
  })

  for (const how of ['FIN', 'RST'] as const) {
    compliance(`a client that leaves with ${how} while its API server is dialled ends the dial`, async (t) => {
      const full = await unresponsivePort(t)
      const relay = await startRelay(t, { createDriver, tenants: [tenant('acme', [endpoint(full), endpoint(full)], { connectTimeoutMs: 600_000 })] })
      const client = await dial(t, relay.port, hello)
      await until(() => relay.driver.counters().dials === 1)
      if (how === 'FIN') client.end()
      else client.resetAndDestroy()
      t.match(await relay.record(0), { reason: 'closed-while-dialing', closedBy: 'downstream', attempts: 1 })
    })
  }

  compliance('round robin spreads connections over a tenant’s endpoints', async (t) => {
    const backends = await Promise.all([startEcho(t), startEcho(t), startEcho(t)])
    const relay = await startRelay(t, { createDriver, tenants: [tenant('acme', backends.map(({ port }) => endpoint(port)))] })
    for (let count = 0; count < 9; count++) {
      const client = await dial(t, relay.port, hello)
      await readBytes(client, hello.length)
    }
    t.same(backends.map(({ sockets }) => sockets.length), [3, 3, 3])
  })
}

async function vanishedHost(t: Test, createDriver: CreateDriver, inFlight?: Uint8Array): Promise<void> {
  const host = await startVanishingHost(t)
  const relay = await startRelay(t, { createDriver, tenants: [tenant('acme', [endpoint(host.port, { address: host.address })])] })
  const client = await dial(t, relay.port, hello)
  await readBytes(client, hello.length)
  const ending = readToEnd(client)
  host.vanish()
  if (inFlight !== undefined) client.write(inFlight)
  t.match(await ending, { how: 'ECONNRESET' })
  t.match(await relay.record(0), { reason: 'upstream-unresponsive', closedBy: 'upstream' })
}

function lifecycleRules(compliance: Compliance, createDriver: CreateDriver): void {
  compliance('at its connection limit it refuses at once, and takes connections again when one has ended', async (t) => {
    const echo = await startEcho(t)
    const relay = await startRelay(t, { createDriver, tenants: [tenant('acme', [endpoint(echo.port)])], connectionsMax: 2 })
    const clients = [await dial(t, relay.port, hello), await dial(t, relay.port, hello)]
    for (const client of clients) await readBytes(client, hello.length)
    const refused = await dial(t, relay.port, hello)
    t.same(await readToEnd(refused), { bytes: Buffer.from(encodeFatalAlert('internal_error')), how: 'fin' })
    refused.destroy()
    t.match(await relay.record(0), { reason: 'connection-limit' })
    for (const client of clients) client.end()
    await relay.record(2)
    t.same(relay.records.slice(1).map(({ reason }) => reason), ['completed', 'completed'])
    // The refused client's socket lingers a moment over its alert, and counts.
    for (let answered = false; !answered;) {
      const next = await dial(t, relay.port, hello)
      answered = await readBytes(next, hello.length).then((bytes) => bytes.equals(hello), () => false)
    }
  })

  compliance('a drain lets connections end by themselves and cuts the rest at their tenant’s deadline', async (t) => {
    const echo = await startEcho(t)
    const relay = await startRelay(t, {
      createDriver,
      tenants: [tenant('acme', [endpoint(echo.port)], { drainTimeoutMs: 300 }), tenant('globex', [endpoint(echo.port)], { drainTimeoutMs: 600_000 })],
    })
    const cut = await dial(t, relay.port, hello)
    await readBytes(cut, hello.length)
    const globexHello = buildClientHello({ serverName: 'globex.example.test' })
    const patient = await dial(t, relay.port, globexHello)
    await readBytes(patient, globexHello.length)
    await relay.driver.unlisten('127.0.0.1:0')
    const drained = relay.driver.drain()
    t.match(await readToEnd(cut), { how: 'ECONNRESET' })
    t.match(await relay.record(0), { tenant: 'acme', reason: 'drain-timeout' })
    patient.write('still here')
    t.equal((await readBytes(patient, 10)).toString(), 'still here')
    patient.end()
    await drained
    t.match(await relay.record(1), { tenant: 'globex', reason: 'completed' })
    await t.rejects(dial(t, relay.port), { code: 'ECONNREFUSED' })
  })

  compliance('stop ends every connection at once', async (t) => {
    const echo = await startEcho(t)
    const { relay, client } = await relayed(t, createDriver, echo.port)
    await readBytes(client, hello.length)
    const waiting = await dial(t, relay.port, hello.subarray(0, 20))
    await until(() => relay.driver.counters().openConnections === 2)
    const endings = [readToEnd(client), readToEnd(waiting)]
    await relay.driver.stop()
    t.same((await Promise.all(endings)).map(({ how }) => how), ['ECONNRESET', 'ECONNRESET'])
    t.same(relay.records.map(({ reason }) => reason), ['gateway-stopped', 'gateway-stopped'])
  })
}
