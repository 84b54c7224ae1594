// What every driver must do with connections to a tunnel hostname: an HTTPS server that never accepted them gets them whole.

import { execFile, execFileSync } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { Agent, request, type RequestOptions } from 'node:https'
import { connect as connectTcp, type Socket } from 'node:net'
import { connect, type ConnectionOptions, type TLSSocket } from 'node:tls'
import { promisify } from 'node:util'
import { test, type Test } from 'tap'
import { createCa, type IssuedCertificate } from '../../src/cli/demo/certificates.ts'
import { buildClientHello, splitIntoRecords } from '../core/tls/hello-builder.ts'
import { endpoint, tenant } from '../support/config.ts'
import { startRelay, type CreateDriver, type Relay } from '../support/relay.ts'
import { dial, readBytes, readToEnd, startBackend, startEcho } from '../support/sockets.ts'
import type { TunnelAnswer } from '../support/tunnel-server.ts'

const serverName = 'tunnel.example.test'
const tenantHello = buildClientHello({ serverName: 'acme.example.test' })
const ca = createCa('tunnel CA')

/** A driver whose tunnel connections go to a `createTunnelServer` with this certificate. */
export type WithTunnelServer = (t: Test, certificate: IssuedCertificate) => CreateDriver

export function handOverSuite(driverName: string, withTunnelServer: WithTunnelServer): void {
  const compliance = (rule: string, run: (t: Test, relay: Relay) => Promise<void>): void => {
    void test(`${driverName}: ${rule}`, async (t) => {
      const echo = await startEcho(t)
      const createDriver = withTunnelServer(t, ca.issue({ commonName: serverName, dnsNames: [serverName], usages: ['server'] }))
      await run(t, await startRelay(t, { createDriver, tenants: [tenant('acme', [endpoint(echo.port)])], tunnelHostnames: [serverName] }))
    })
  }
  requestRules(compliance)
  helloRules(compliance)
  compliance('clients of the tunnel that leave in the middle of their handshake harm nobody', async (t, relay) => {
    const hello = buildClientHello({ serverName })
    for (const leave of [(client: Socket) => client.end(), (client: Socket) => client.resetAndDestroy(), (client: Socket) => client.end('no TLS')]) {
      const client = await dial(t, relay.port, hello)
      leave(client)
      await readToEnd(client)
    }
    await relay.record(2)
    t.match(await ask(relay.port), { number: 1 })
  })
  compliance('a connection that was handed over outlives the driver, and counts as none of its own', async (t, relay) => {
    const client = await upgraded(t, relay)
    t.match(await relay.record(0), { reason: 'handed-over' })
    t.match(relay.driver.counters(), { openConnections: 0, openConnectionsBeforeHello: 0, dials: 0 })
    await relay.driver.drain()
    await relay.driver.stop()
    client.write('still here')
    t.equal((await readBytes(client, 10)).toString(), 'still here')
  })
}

type Compliance = (rule: string, run: (t: Test, relay: Relay) => Promise<void>) => void

function requestRules(compliance: Compliance): void {
  for (const version of ['TLSv1.2', 'TLSv1.3'] as const) {
    compliance(`a ${version} client of a tunnel hostname talks to the tunnel’s server, while a tenant’s connection goes on`, async (t, relay) => {
      const other = await dial(t, relay.port, tenantHello)
      await readBytes(other, tenantHello.length)
      const agent = new Agent({ keepAlive: true, maxSockets: 1 })
      t.teardown(() => agent.destroy())
      for (let number = 1; number <= 3; number++) {
        const answer = await ask(relay.port, { minVersion: version, maxVersion: version, agent, bodyBytes: 300_000 })
        t.same(answer, { request: 'POST /v1', bodyBytes: 300_000, number, client: '127.0.0.1' })
        other.write('ping')
        t.equal((await readBytes(other, 4)).toString(), 'ping')
      }
      const { tenant: none, ...handedOver } = await relay.record(0)
      t.equal(none, undefined)
      t.match(handedOver, { reason: 'handed-over', serverName, attempts: 0, bytesFromUpstream: 0, client: { address: '127.0.0.1' } })
    })
  }

  compliance('an upgraded connection of the tunnel carries bytes both ways, those right behind the request too', async (t, relay) => {
    const client = await upgraded(t, relay, 'early')
    t.equal((await readBytes(client, 5)).toString(), 'early')
    const bytes = randomBytes(1_000_000)
    client.write(bytes)
    t.ok((await readBytes(client, bytes.length)).equals(bytes))
    client.end()
    t.equal((await readToEnd(client)).how, 'fin')
  })

  compliance('curl gets its answers from the tunnel’s server', async (t, { port }) => {
    if (!hasCurl()) {
      t.comment('there is no curl')
      return
    }
    const caFile = `${t.testdir({ 'ca.pem': ca.certificatePem })}/ca.pem`
    const url = `https://${serverName}:${port}/v1`
    const { stdout } = await promisify(execFile)('curl', ['--silent', '--show-error', '--cacert', caFile, '--connect-to', `::127.0.0.1:${port}`, url, url])
    t.match(stdout, /^\{"request":"GET \/v1".*"number":1.*\}\{"request":"GET \/v1".*"number":2.*\}$/)
  })
}

/** How a hello is cut, and what a client's segments then are. */
const cuts: Readonly<Record<string, (hello: Buffer) => readonly Buffer[]>> = {
  'in one piece': (hello) => [hello],
  'a byte at a time': (hello) => Array.from(hello, (byte) => Buffer.of(byte)),
  'its last byte late': (hello) => [hello.subarray(0, -1), hello.subarray(-1)],
  'in records of one byte, more than a read takes': (hello) => [splitIntoRecords(hello, 1)],
}

function helloRules(compliance: Compliance): void {
  /** For a hello of some 3 KB, and six times that in small records. */
  const protocols = ['http/1.1', ...Array.from({ length: 63 }, (_, index) => `protocol-${index}-${'x'.repeat(18)}`)]
  for (const version of ['TLSv1.2', 'TLSv1.3'] as const) {
    compliance(`the tunnel’s server gets a ${version} hello however it is cut`, async (t, relay) => {
      for (const [name, cut] of Object.entries(cuts)) {
        const cutter = await startBackend(t, (client) => {
          const server = connectTcp({ port: relay.port, host: '127.0.0.1', noDelay: true })
          server.on('error', () => undefined)
          server.pipe(client)
          client.on('close', () => server.destroy())
          client.once('data', (hello: Buffer) => {
            client.pause()
            void writeEach(server, cut(hello)).then(() => client.pipe(server))
          })
        })
        t.match(await ask(cutter.port, { minVersion: version, maxVersion: version, ALPNProtocols: protocols }), { number: 1 }, name)
      }
      await relay.record(3)
      t.ok((relay.records[3]?.bytesFromDownstream ?? 0) > 12_000)
    })
  }

  compliance('bytes right behind the hello reach the tunnel’s server', async (t, { port }) => {
    // It can't decrypt them, and says so, as a server would that has accepted the connection itself.
    const client = await dial(t, port, Buffer.concat([buildClientHello({ serverName }), Buffer.from('no record')]))
    const { bytes } = await readToEnd(client)
    t.ok(bytes.length > 0)
  })
}

async function writeEach(socket: Socket, pieces: readonly Buffer[]): Promise<void> {
  for (const bytes of pieces) {
    socket.write(bytes)
    await new Promise((resolve) => {
      setImmediate(resolve)
    })
  }
}

/** One request, over a connection of its own where there is no agent. */
async function ask(port: number, { bodyBytes = 0, ...options }: RequestOptions & Pick<ConnectionOptions, 'ALPNProtocols'> & { readonly bodyBytes?: number } = {}): Promise<TunnelAnswer> {
  return await new Promise((resolve, reject) => {
    const sent = request({ agent: false, ...options, port, host: '127.0.0.1', servername: serverName, ca: ca.certificatePem, method: 'POST', path: '/v1' }, (response) => {
      let text = ''
      response.setEncoding('utf8')
      response.on('data', (chunk: string) => {
        text += chunk
      })
      response.on('end', () => resolve(JSON.parse(text)))
    })
    sent.on('error', reject)
    sent.end(Buffer.alloc(bodyBytes))
  })
}

/** A TLS connection that has become an echo; `early` is sent behind the request. */
async function upgraded(t: Test, { port }: { readonly port: number }, early = ''): Promise<TLSSocket> {
  const client = connect({ port, host: '127.0.0.1', servername: serverName, ca: ca.certificatePem })
  t.teardown(() => client.destroy())
  await once(client, 'secureConnect')
  client.write(`GET /v1/tunnel HTTP/1.1\r\nHost: ${serverName}\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n${early}`)
  const answer = 'HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n'
  t.equal((await readBytes(client, answer.length)).toString(), answer)
  return client
}

function hasCurl(): boolean {
  try {
    execFileSync('curl', ['--version'], { stdio: 'ignore' })
    return true
  } catch {
    return false
  }
}
