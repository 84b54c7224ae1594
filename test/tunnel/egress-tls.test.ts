// API servers that reach the egress over TLS: of which tenant they are stands in their certificate, and nowhere else.

import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { connect as connectTcp } from 'node:net'
import { connect, type ConnectionOptions, type TLSSocket } from 'node:tls'
import { test, type Test } from 'tap'
import { createCa, type CertificateAuthority } from '../../src/cli/demo/certificates.ts'
import type { EgressEntry } from '../../src/tunnel/egress/egress-server.ts'
import { changeOf, endpoint, tenant } from '../support/config.ts'
import { freePort } from '../../bench/free-port.ts'
import { readBytes, readToEnd, startBackend, until } from '../support/sockets.ts'
import { unresponsivePort } from '../support/unresponsive-port.ts'
import { ask, nodeHere, reaching } from './egress-lab.ts'
import { ca, serverCertificate, tunnelLab, type Lab, type TestGateway } from './tunnel-lab.ts'

const clientCa = createCa('API servers')

/** As `connect` takes it. */
interface ClientCertificate {
  readonly cert: string
  readonly key: string
}

function certificateOf(organization: string | readonly string[] | undefined, { authority = clientCa, daysLeft = 30, usages = ['client'] }: { readonly authority?: CertificateAuthority; readonly daysLeft?: number; readonly usages?: readonly ('client' | 'server')[] } = {}): ClientCertificate {
  const { certificatePem, keyPem } = authority.issue({ commonName: 'kube-apiserver', ...(organization === undefined ? {} : { organization }), usages, daysLeft })
  return { cert: certificatePem, key: keyPem }
}

interface Place {
  readonly lab: Lab
  readonly gateway: TestGateway
  readonly entry: EgressEntry & { readonly kind: 'tls' }
  readonly open: (certificate: Partial<ClientCertificate>, options?: ConnectionOptions) => Promise<TLSSocket>
}

/** With tenants acme, whose node is worker-1, and globex, whose node is worker-2. */
async function place(t: Test): Promise<Place> {
  const lab = await tunnelLab(t)
  const gateway = await lab.gateway()
  gateway.tunnel.publish(changeOf({ version: 2, tenants: ['acme', 'globex'].map((name) => tenant(name, [endpoint(lab.echo.port)])) }))
  const entry = { kind: 'tls', address: { address: '127.0.0.1', port: await freePort() }, ...serverCertificate, clientCaPem: clientCa.certificatePem } as const
  await gateway.tunnel.openEgress([entry])
  return {
    lab, gateway, entry,
    open: async (certificate, options = {}) => {
      const all: ConnectionOptions & { readonly allowHalfOpen: boolean } = { port: entry.address.port, host: '127.0.0.1', servername: 'localhost', ca: ca.certificatePem, allowHalfOpen: true, ...certificate, ...options }
      const socket = connect(all)
      t.teardown(() => socket.destroy())
      socket.on('error', () => undefined)
      await once(socket, 'secureConnect')
      return socket
    },
  }
}

void test('whose connection it is stands in the certificate’s O', async (t) => {
  const { lab, gateway, open } = await place(t)
  await nodeHere(lab, [gateway], 'worker-1')
  await nodeHere(lab, [gateway], 'worker-2', { tenant: 'globex' })
  const bytes = randomBytes(1_000_000)
  for (const [name, node, foreign] of [['acme', 'worker-1', 'worker-2'], ['globex', 'worker-2', 'worker-1']] as const) {
    const { line, socket } = await ask(await open(certificateOf(name)), `${node}:${lab.echo.port}`)
    t.equal(line, 'HTTP/1.1 200 OK')
    socket.end(bytes)
    t.ok((await readToEnd(socket)).bytes.equals(bytes))
    t.equal((await ask(await open(certificateOf(name)), `${foreign}:${lab.echo.port}`)).line, `HTTP/1.1 503 none of the 1 agents' sessions of ${name} has or announces ${foreign} (port ${lab.echo.port})`)
  }
  await until(() => gateway.egress.length === 4)
  t.same(gateway.egressRefused, [])
})

void test('a certificate that names no tenant, or not one: 403, and which it names', async (t) => {
  const { lab, gateway, open } = await place(t)
  await nodeHere(lab, [gateway], 'worker-1')
  const cases: readonly (readonly [organization: string | readonly string[] | undefined, why: string])[] = [
    [undefined, 'the client certificate must name the tenant in O, once; it has none'],
    [['acme', 'globex'], 'the client certificate must name the tenant in O, once; it has acme, globex'],
    [['acme', 'acme'], 'the client certificate must name the tenant in O, once; it has acme, acme'],
    ['initech', 'there is no tenant initech'],
    ['ACME', 'there is no tenant ACME'],
    ['acme\r\nX: y', 'there is no tenant acme??X: y'],
    ['', 'there is no tenant '],
  ]
  for (const [organization, why] of cases) {
    t.equal((await ask(await open(certificateOf(organization)), `worker-1:${lab.echo.port}`)).line, `HTTP/1.1 403 ${why}`)
    t.match(gateway.egress.at(-1), { tenant: undefined, status: 403, refusal: 'forbidden', attempts: 0 })
  }
  t.equal(lab.echo.sockets.length, 0)
})

/** How a client without a right to be here ends: in TLS 1.3 it learns of it behind its own handshake. */
async function refused(t: Test, { entry }: Place, options: ConnectionOptions): Promise<string> {
  const socket = connect({ port: entry.address.port, host: '127.0.0.1', servername: 'localhost', ca: ca.certificatePem, ...options })
  t.teardown(() => socket.destroy())
  socket.once('secureConnect', () => socket.write('CONNECT worker-1:1 HTTP/1.1\r\n\r\n'))
  const { bytes, how } = await readToEnd(socket)
  t.equal(bytes.length, 0)
  return how
}

void test('who shows no certificate of the authority is not even asked what it wants, and is told of with the reason', async (t) => {
  const its = await place(t)
  const { gateway } = its
  const other = certificateOf('acme', { authority: createCa('somebody else') })
  const cases: readonly (readonly [what: string, options: ConnectionOptions, why: RegExp])[] = [
    ['none', {}, /^127\.0\.0\.1: no client certificate$/],
    ['one of another authority', other, /^127\.0\.0\.1: its client certificate: UNABLE_TO_[A-Z_]+$/],
    ['one that has expired', certificateOf('acme', { daysLeft: -1 }), /: its client certificate: CERT_HAS_EXPIRED$/],
    ['an old protocol', { ...certificateOf('acme'), maxVersion: 'TLSv1.1', minVersion: 'TLSv1', ciphers: 'DEFAULT@SECLEVEL=0' }, /^127\.0\.0\.1: .*unsupported protocol/],
  ]
  for (const [count, [what, options, why]] of cases.entries()) {
    t.not(await refused(t, its, options), 'closed', what)
    await until(() => gateway.egressRefused.length === count + 1)
    t.match(gateway.egressRefused.at(-1), why, what)
  }
  t.same(gateway.egress, [])
})

void test('what is no TLS, and a handshake that does not go on, are closed', async (t) => {
  const { gateway, entry } = await place(t)
  const silent = connectTcp({ port: entry.address.port, host: '127.0.0.1' })
  const plain = connectTcp({ port: entry.address.port, host: '127.0.0.1' })
  plain.write('CONNECT worker-1:1 HTTP/1.1\r\n\r\n')
  t.notMatch((await readToEnd(plain)).bytes.toString('latin1'), /HTTP/)
  await readToEnd(silent)
  await until(() => gateway.egressRefused.length === 2)
  t.same(gateway.egress, [])
})

/** Of TLS, to be resumed. */
async function sessionOf(t: Test, { entry }: Place, certificate: ConnectionOptions): Promise<Buffer> {
  const socket = connect({ port: entry.address.port, host: '127.0.0.1', servername: 'localhost', ca: ca.certificatePem, ...certificate })
  t.teardown(() => socket.destroy())
  return await new Promise((resolve, reject) => {
    socket.on('error', reject)
    socket.on('close', () => reject(new Error('closed')))
    socket.once('session', resolve)
  })
}

void test('a resumed session stands for the certificate that it began with', async (t) => {
  const its = await place(t)
  const { lab, gateway, open } = its
  await nodeHere(lab, [gateway], 'worker-1')
  const target = `worker-1:${lab.echo.port}`
  const resumed = await open({}, { session: await sessionOf(t, its, certificateOf('acme')) })
  t.ok(resumed.isSessionReused())
  t.equal((await ask(resumed, target)).line, 'HTTP/1.1 200 OK')
  // Who is refused has none to resume.
  for (const certificate of [{}, certificateOf('acme', { authority: createCa('somebody else') })]) {
    const count = gateway.egressRefused.length
    await t.rejects(sessionOf(t, its, certificate))
    await until(() => gateway.egressRefused.length === count + 1)
  }
})

void test('another authority, and another certificate, hold for connections from then on; no session of before is resumed', async (t) => {
  const its = await place(t)
  const { lab, gateway, entry, open } = its
  await nodeHere(lab, [gateway], 'worker-1')
  const target = `worker-1:${lab.echo.port}`
  const [nextCa, nextServer] = [createCa('API servers, anew'), ca.issue({ commonName: 'anew', dnsNames: ['localhost'], usages: ['server'] })]
  const session = await sessionOf(t, its, certificateOf('acme'))
  const { socket: old } = await ask(await open(certificateOf('acme')), target, 'x')
  await gateway.tunnel.openEgress([{ ...entry, certPem: nextServer.certificatePem, keyPem: nextServer.keyPem, clientCaPem: nextCa.certificatePem }])
  const next = await open(certificateOf('acme', { authority: nextCa }))
  t.equal(next.getPeerCertificate().subject.CN, 'anew')
  t.equal((await ask(next, target)).line, 'HTTP/1.1 200 OK')
  for (const options of [certificateOf('acme'), { session }]) await refused(t, its, options)
  await until(() => gateway.egressRefused.length === 2)
  old.write('y')
  t.equal((await readBytes(old, 2)).toString(), 'xy', 'those that there were go on')
})

void test('FIN crosses as FIN; a node’s reset ends TLS without its end', async (t) => {
  const { lab, gateway, open } = await place(t)
  await nodeHere(lab, [gateway], 'worker-1')
  const backend = await startBackend(t)
  const { socket: client } = await ask(await open(certificateOf('acme')), `worker-1:${backend.port}`)
  client.end('last words')
  const upstream = await backend.socket(0)
  t.match(await readToEnd(upstream), { bytes: Buffer.from('last words'), how: 'fin' })
  upstream.end('the answer')
  t.match(await readToEnd(client), { bytes: Buffer.from('the answer'), how: 'fin' })
  const { socket: second } = await ask(await open(certificateOf('acme')), `worker-1:${backend.port}`, 'x')
  const broken = await backend.socket(1)
  await readBytes(broken, 1)
  broken.resetAndDestroy()
  await readToEnd(second)
  await until(() => gateway.egress.length === 2)
  t.match(gateway.egress, [{ end: 'completed' }, { end: 'stream-reset' }])
})

void test('an API server that is killed: the node is reset, and a dial under way is given up', async (t) => {
  const { lab, gateway, entry } = await place(t)
  const agent = await nodeHere(lab, [gateway], 'worker-1', { reverse: reaching({ dialTimeoutMs: 7_000 }) })
  const backend = await startBackend(t)
  const killable = async (): Promise<{ readonly socket: TLSSocket; kill(): void }> => {
    const tcp = connectTcp({ port: entry.address.port, host: '127.0.0.1' })
    const socket = connect({ socket: tcp, servername: 'localhost', ca: ca.certificatePem, ...certificateOf('acme') })
    for (const each of [tcp, socket]) each.on('error', () => undefined)
    await once(socket, 'secureConnect')
    return { socket, kill: () => tcp.resetAndDestroy() }
  }
  const one = await killable()
  await ask(one.socket, `worker-1:${backend.port}`, 'x')
  const upstream = await backend.socket(0)
  await readBytes(upstream, 1)
  one.kill()
  t.match(await readToEnd(upstream), { how: 'ECONNRESET' })
  const other = await killable()
  other.socket.write(`CONNECT worker-1:${await unresponsivePort(t)} HTTP/1.1\r\n\r\n`)
  await until(() => agent.agent.reverse.dials === 1)
  other.kill()
  await until(() => gateway.egress.length === 2 && agent.reversed.length === 2)
  t.match(gateway.egress, [{ end: 'socket-reset' }, { end: 'abandoned', status: undefined }])
  t.match(agent.reversed, [{ end: 'stream-reset' }, { end: 'abandoned' }])
  t.match(gateway.tunnel.figures(), { egressConnections: 0, egressDials: 0 })
})

void test('an address that is taken is named', async (t) => {
  const { gateway, entry } = await place(t)
  const taken = await startBackend(t)
  await t.rejects(gateway.tunnel.openEgress([{ ...entry, address: { address: '127.0.0.1', port: taken.port } }]), { message: new RegExp(`^egress 127\\.0\\.0\\.1:${taken.port} can't be bound: .*EADDRINUSE`) })
})
