// The admin server with real sockets: its answers, what it refuses, and clients that dawdle.

import { once } from 'node:events'
import { connect } from 'node:net'
import { test, type Test } from 'tap'
import { createAdminServer, type AdminLimits, type AdminSources } from '../../../src/observe/admin/server.ts'
import { readToEnd } from '../../support/sockets.ts'

interface Started {
  readonly url: string
  readonly port: number
  readonly failures: string[]
  readonly close: () => Promise<void>
}

async function start(t: Test, sources: Partial<AdminSources> = {}, limits: Partial<AdminLimits> = {}): Promise<Started> {
  const failures: string[] = []
  const server = createAdminServer({ kind: 'address', address: { address: '127.0.0.1', port: 0 } }, {
    readyWhen: 'always',
    readiness: () => ({ kind: 'ready' }),
    routes: [{ method: 'GET', path: '/v1/snapshot', access: 'guarded', summary: 'a page', answer: () => ({ status: 200, value: { version: 3 } }) }],
    metrics: { contentType: 'text/plain; version=0.0.4; charset=utf-8', text: async () => await Promise.resolve('up 1\n') },
    failed: (error, context) => failures.push(`${context}: ${error.message}`),
    ...sources,
  }, limits)
  const { port = 0 } = await server.listen() ?? {}
  t.teardown(async () => await server.close())
  return { url: `http://127.0.0.1:${port}`, port, failures, close: async () => await server.close() }
}

void test('each path has its answer', async (t) => {
  const { url } = await start(t)
  for (const [path, status, type, body] of [
    ['/', 200, /text\/plain/, /\/readyz +always\n[^]*\/v1\/snapshot +a page\n/], ['/healthz', 200, /text\/plain/, /^ok\n$/], ['/readyz', 200, /text\/plain/, /^ok\n$/],
    ['/metrics', 200, /version=0\.0\.4/, /^up 1\n$/], ['/v1/snapshot', 200, /application\/json/, /"version":3/], ['/readyz?verbose', 200, /text\/plain/, /ok/],
    ['/nothing', 404, /application\/json/, /"error":"not found"/], ['/readyz/', 404, /json/, /not found/],
  ] as const) {
    const response = await fetch(url + path)
    t.equal(response.status, status, path)
    t.match(response.headers.get('content-type'), type)
    t.match(await response.text(), body)
  }
})

void test('it says why it is not ready', async (t) => {
  for (const reason of ['starting', 'draining', 'no-session'] as const) {
    const { url } = await start(t, { readiness: () => ({ kind: 'not-ready', reason }) })
    const response = await fetch(`${url}/readyz`)
    t.same({ status: response.status, body: await response.text() }, { status: 503, body: `${reason}\n` })
    t.equal((await fetch(`${url}/healthz`)).status, 200, 'but it lives')
  }
})

void test('HEAD has no body, and other methods are not allowed', async (t) => {
  const { url } = await start(t)
  const head = await fetch(`${url}/healthz`, { method: 'HEAD' })
  t.same({ status: head.status, length: head.headers.get('content-length'), body: await head.text() }, { status: 200, length: '3', body: '' })
  for (const method of ['POST', 'PUT', 'DELETE', 'OPTIONS']) {
    const response = await fetch(`${url}/healthz`, { method, ...(method === 'POST' ? { body: 'x' } : {}) })
    t.equal(response.status, 405, method)
    t.equal(response.headers.get('allow'), 'GET, HEAD')
    t.match(await response.json(), { error: 'method not allowed' })
  }
})

void test('an answer that fails is a 500 for the client and an error for the log', async (t) => {
  const { url, failures } = await start(t, { metrics: { contentType: 'text/plain', text: async () => await Promise.reject(new Error('no metrics')) } })
  const response = await fetch(`${url}/metrics`)
  t.equal(response.status, 500)
  t.match(await response.json(), { error: /the log says why/ })
  t.same(failures, ['answer on admin.address: no metrics'])
})

void test('a client that dawdles over its headers, or sends too many, is cut', async (t) => {
  const { port } = await start(t, {}, { headersMsMax: 100, requestMsMax: 200, checkIntervalMs: 20 })
  for (const request of ['GET /healthz HTTP/1.1\r\nHost: x\r\n', `GET /healthz HTTP/1.1\r\nHost: x\r\nX: ${'x'.repeat(20_000)}\r\n\r\n`]) {
    const socket = connect(port, '127.0.0.1')
    await once(socket, 'connect')
    socket.write(request)
    const { bytes } = await readToEnd(socket)
    t.match(bytes.toString(), /^HTTP\/1\.1 4(08|31) /)
    socket.destroy()
  }
})

void test('a client that sends nothing, or does not take its answer, is cut', async (t) => {
  const { port } = await start(t, {}, { headersMsMax: 100, requestMsMax: 200, checkIntervalMs: 20 })
  const silent = connect(port, '127.0.0.1')
  await readToEnd(silent)
  // More than the two sockets hold, and a server that would wait for it far longer than a test may take.
  const body = 'x'.repeat(32 * 1024 * 1024)
  const slow = await start(t, { metrics: { contentType: 'text/plain', text: async () => await Promise.resolve(body) } }, { stalledMsMax: 100, closeMsMax: 300_000 })
  const socket = connect(slow.port, '127.0.0.1').pause()
  t.teardown(() => socket.destroy())
  await once(socket, 'connect')
  socket.write('GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n')
  await once(socket, 'readable')
  await slow.close()
})

void test('an address that is taken rejects with the system’s error', async (t) => {
  const { port } = await start(t)
  const unasked = (): never => {
    throw new Error('asked of a server that never listened')
  }
  const second = createAdminServer({ kind: 'address', address: { address: '127.0.0.1', port } }, { readyWhen: '', readiness: unasked, routes: [], metrics: { contentType: '', text: unasked }, failed: unasked })
  await t.rejects(second.listen(), { code: 'EADDRINUSE' })
  await second.close()
})

void test('connections over the limit are not served', async (t) => {
  const { url, port } = await start(t, {}, { connectionsMax: 1 })
  const first = connect(port, '127.0.0.1')
  await once(first, 'connect')
  await t.rejects(fetch(`${url}/healthz`))
  first.destroy()
})

void test('closing cuts idle keep-alive connections, and the port is free', async (t) => {
  const { url, port, close } = await start(t)
  t.equal((await fetch(`${url}/healthz`)).status, 200)
  const silent = connect(port, '127.0.0.1')
  await once(silent, 'connect')
  await close()
  await readToEnd(silent)
  await t.rejects(fetch(`${url}/healthz`))
})
