// Checks with Node's sockets, against servers that do what API servers do, and what others do.

import { once } from 'node:events'
import { writeFileSync } from 'node:fs'
import { connect, type AddressInfo } from 'node:net'
import { createServer, type TLSSocket } from 'node:tls'
import { join } from 'node:path'
import { test, type Test } from 'tap'
import { createCa } from '../../src/cli/demo/certificates.ts'
import type { HealthSpec } from '../../src/core/health/health-spec.ts'
import type { CheckResult } from '../../src/core/health/prober.ts'
import { ProxyHeaderReader } from '../../src/core/proxy-protocol/reader.ts'
import { NodeProbes } from '../../src/health/node-probes.ts'
import { freePort } from '../../bench/free-port.ts'
import { startBackend, until } from '../support/sockets.ts'
import { unresponsivePort } from '../support/unresponsive-port.ts'

const ca = createCa('cluster CA')
const { certificatePem: cert, keyPem: key } = ca.issue({ commonName: 'kube-apiserver', dnsNames: ['kubernetes.default.svc'], usages: ['server'] })
const spec: HealthSpec = { kind: 'tls', intervalMs: 10_000, timeoutMs: 3_000, fall: 3, rise: 2, slowStartMs: 0 }

async function startTls(t: Test, onSocket: (socket: TLSSocket) => void = () => undefined): Promise<number> {
  const sockets = new Set<TLSSocket>()
  const server = createServer({ cert, key }, (socket) => {
    sockets.add(socket)
    socket.on('error', () => undefined)
    onSocket(socket)
  })
  server.on('tlsClientError', () => undefined)
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(async () => {
    for (const socket of sockets) socket.destroy()
    server.close()
    await once(server, 'close')
  })
  return (server.address() as AddressInfo).port
}

/** Answers each request with this. */
async function startReadyz(t: Test, answer: string, seen?: (request: string) => void): Promise<number> {
  return await startTls(t, (socket) => void socket.once('data', (bytes: Buffer) => {
    seen?.(bytes.toString())
    socket.end(answer)
  }))
}

async function check(t: Test, port: number, health: Partial<HealthSpec>, { address = '127.0.0.1', folder = '/' } = {}): Promise<CheckResult> {
  const results: CheckResult[] = []
  const probes = new NodeProbes({ done: (_, result) => results.push(result), nowMs: () => performance.now(), folder })
  t.teardown(() => probes.close())
  probes.begin({ id: 1, address, port, health: { ...spec, ...health } })
  t.equal(results.length, 0)
  await until(() => results.length > 0)
  t.equal(probes.size, 0)
  const [result] = results
  if (result === undefined || results.length > 1) throw new Error('one result is expected')
  return result
}

void test('tcp: a connection is accepted, whatever is spoken, at an address or a name', async (t) => {
  const { port } = await startBackend(t)
  t.same(await check(t, port, { kind: 'tcp' }), { kind: 'passed', why: 'connection accepted' })
  t.same(await check(t, port, { kind: 'tcp' }, { address: 'localhost' }), { kind: 'passed', why: 'connection accepted' })
  t.same(await check(t, await freePort(), { kind: 'tcp' }), { kind: 'failed', why: 'connection refused' })
  t.same(await check(t, await unresponsivePort(t), { kind: 'tcp', timeoutMs: 100 }), { kind: 'failed', why: 'no connection in 100 ms' })
  t.match(await check(t, 1, { kind: 'tcp' }, { address: 'no-such-host.invalid' }), { why: /^connection: (ENOTFOUND|EAI_AGAIN)$/ })
})

void test('tls: a handshake ends well; without authorities with any certificate, with them with one of theirs for the name', async (t) => {
  const folder = t.testdir({ 'ca.crt': ca.certificatePem, 'other.crt': createCa('another').certificatePem })
  const port = await startTls(t)
  const done = { kind: 'passed', why: 'TLS handshake done' }
  t.same(await check(t, port, {}), done)
  t.same(await check(t, port, { serverName: 'whatever.example.test' }), done)
  t.same(await check(t, port, { caFile: 'ca.crt', serverName: 'kubernetes.default.svc' }, { folder }), done)
  t.same(await check(t, port, { caFile: 'other.crt', serverName: 'kubernetes.default.svc' }, { folder }), { kind: 'failed', why: 'TLS handshake: UNABLE_TO_VERIFY_LEAF_SIGNATURE' })
  t.same(await check(t, port, { caFile: 'ca.crt', serverName: 'acme.example.test' }, { folder }), { kind: 'failed', why: 'TLS handshake: ERR_TLS_CERT_ALTNAME_INVALID' })
})

void test('tls: one that accepts and is silent, resets or speaks something else has failed', async (t) => {
  t.same(await check(t, (await startBackend(t)).port, { timeoutMs: 1_000 }), { kind: 'failed', why: 'no TLS handshake in 1000 ms' })
  t.match(await check(t, (await startBackend(t, (socket) => void socket.resetAndDestroy())).port, {}), { kind: 'failed', why: /ECONNRESET/ })
  t.match(await check(t, (await startBackend(t, (socket) => void socket.end('HTTP/1.1 400 Bad Request\r\n\r\n'))).port, {}), { kind: 'failed', why: /^TLS handshake: / })
  t.match(await check(t, (await startBackend(t, (socket) => void socket.end())).port, {}), { kind: 'failed' })
})

void test('tls: one that waits for a PROXY header is sent one that tells no address, ahead of the hello', async (t) => {
  const tlsPort = await startTls(t)
  const { port } = await startBackend(t, (socket) => {
    const reader = new ProxyHeaderReader()
    const behind = connect({ port: tlsPort, host: '127.0.0.1' })
    behind.on('error', () => undefined)
    socket.once('close', () => behind.destroy())
    socket.on('data', function read(bytes: Buffer) {
      const progress = reader.push(bytes)
      if (progress.kind === 'refused') socket.destroy()
      if (progress.kind !== 'complete') return
      socket.off('data', read)
      behind.write(bytes.subarray(progress.consumedBytes))
      socket.pipe(behind).pipe(socket)
    })
  })
  for (const sendsProxyHeader of ['v1', 'v2'] as const) t.same(await check(t, port, { sendsProxyHeader }), { kind: 'passed', why: 'TLS handshake done' }, sendsProxyHeader)
  t.match(await check(t, port, {}), { kind: 'failed' })
})

void test('authorities that can’t be read are no failure of the endpoint, and are read anew after a minute', async (t) => {
  const folder = t.testdir({ 'ca.crt': createCa('another').certificatePem })
  const port = await startTls(t)
  t.match(await check(t, port, { caFile: 'missing.crt' }, { folder }), { kind: 'void', why: /^caFile: ENOENT/ })
  let nowMs = 0
  const results: CheckResult[] = []
  const probes = new NodeProbes({ done: (_, result) => results.push(result), nowMs: () => nowMs, folder })
  const again = async (): Promise<string | undefined> => {
    const before = results.length
    probes.begin({ id: 1, address: '127.0.0.1', port, health: { ...spec, caFile: 'ca.crt', serverName: 'kubernetes.default.svc' } })
    await until(() => results.length > before)
    return results.at(-1)?.kind
  }
  t.equal(await again(), 'failed')
  writeFileSync(join(folder, 'ca.crt'), ca.certificatePem)
  t.equal(await again(), 'failed')
  nowMs = 60_000
  t.equal(await again(), 'passed')
})

void test('readyz: 200 alone is ready; it is asked as anybody may ask', async (t) => {
  let request = ''
  const seen = (text: string): void => {
    request = text
  }
  t.same(await check(t, await startReadyz(t, 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok', seen), { kind: 'readyz', serverName: 'kubernetes.default.svc' }), { kind: 'passed', why: '/readyz answered 200' })
  t.match(request, /^GET \/readyz HTTP\/1\.1\r\nHost: kubernetes\.default\.svc:\d+\r\nUser-Agent: sluice-health\r\nConnection: close\r\n\r\n$/)
  for (const [answer, why] of [
    ['HTTP/1.1 500 Internal Server Error\r\n\r\n[-]shutdown failed', '/readyz answered 500'],
    ['HTTP/1.1 401 Unauthorized\r\n\r\n', '/readyz answered 401'],
    ['HTTP/1.1 200\n\n', undefined],
    ['HTTP/1.1 2000\r\n\r\n', '/readyz was not answered in HTTP/1.1'],
    ['SSH-2.0-OpenSSH_10.0\r\n', '/readyz was not answered in HTTP/1.1'],
    ['x'.repeat(5_000), '/readyz was not answered in HTTP/1.1'],
    ['', 'closed before the answer to GET /readyz'],
    ['HTTP/1.1 200', 'closed before the answer to GET /readyz'],
  ] as const) t.match(await check(t, await startReadyz(t, answer), { kind: 'readyz' }), why === undefined ? { kind: 'passed' } : { kind: 'failed', why }, JSON.stringify(answer.slice(0, 20)))
  t.same(await check(t, await startTls(t), { kind: 'readyz', timeoutMs: 2_000 }), { kind: 'failed', why: 'no answer to GET /readyz in 2000 ms' })
})
