// Who may use the guarded pages, and what a request that changes something must be: over TCP, TLS and a Unix socket.

import { once } from 'node:events'
import { lstat, writeFile } from 'node:fs/promises'
import { request, type OutgoingHttpHeaders } from 'node:http'
import { request as tlsRequest } from 'node:https'
import { connect } from 'node:net'
import { join } from 'node:path'
import { test, type Test } from 'tap'
import { createCa } from '../../../src/cli/demo/certificates.ts'
import { createAdminServer, type AdminEntry, type AdminEvent, type AdminLimits, type AdminServer } from '../../../src/observe/admin/server.ts'
import { socketFolder } from '../../support/socket-folder.ts'
import { readToEnd } from '../../support/sockets.ts'

const loopback = { address: '127.0.0.1', port: 0 }
const token = 'correct-horse-battery-staple-0123456789'
const ca = createCa('admin-ca')
const { certificatePem: certPem, keyPem } = ca.issue({ commonName: 'localhost', dnsNames: ['localhost'], usages: ['server'] })

interface Asked {
  readonly method?: string
  readonly path?: string
  readonly headers?: OutgoingHttpHeaders
  readonly body?: string
}

interface Answered {
  readonly status: number
  readonly headers: NodeJS.Dict<string | string[]>
  readonly value: unknown
}

interface Started {
  readonly server: AdminServer
  readonly port: number
  readonly events: AdminEvent[]
  readonly ask: (asked?: Asked) => Promise<Answered>
}

async function start(t: Test, entry: AdminEntry, limits: Partial<AdminLimits> = {}): Promise<Started> {
  const events: AdminEvent[] = []
  const answer = (given: object) => ({ status: 200, value: given })
  const server = createAdminServer(entry, {
    readyWhen: 'always',
    readiness: () => ({ kind: 'ready' }),
    metrics: { contentType: 'text/plain', text: async () => await Promise.resolve('up 1\n') },
    routes: [
      { method: 'GET', path: '/v1/things/:name', access: 'guarded', summary: 'one', answer: ({ params, query }) => answer({ ...params, page: query.get('page') }) },
      { method: 'PUT', path: '/v1/things/:name', access: 'guarded', summary: 'change one', answer: ({ body }) => answer({ body }) },
      { method: 'POST', path: '/v1/things/:name', access: 'guarded', summary: 'one more', answer: ({ body }) => answer({ body }) },
      { method: 'DELETE', path: '/v1/things/:name', access: 'guarded', summary: 'remove one', answer: () => answer({}) },
    ],
    answered: (event) => events.push(event),
    failed: (error) => {
      throw error
    },
  }, limits)
  t.teardown(async () => await server.close())
  const port = (await server.listen())?.port ?? 0
  const where = entry.kind === 'socket' ? { socketPath: entry.path } : { host: '127.0.0.1', port }
  const hasTls = entry.kind === 'address' && entry.tls !== undefined
  const ask = async ({ method = 'GET', path = '/v1/things/one', headers = {}, body }: Asked = {}): Promise<Answered> => {
    const options = { ...where, method, path, headers, agent: false }
    const sent = hasTls ? tlsRequest({ ...options, ca: ca.certificatePem, servername: 'localhost' }) : request(options)
    sent.end(body)
    const [response] = await once(sent, 'response')
    let text = ''
    for await (const chunk of response) text += String(chunk)
    return { status: response.statusCode, headers: response.headers, value: text.startsWith('{') ? JSON.parse(text) : text }
  }
  return { server, port, events, ask }
}

const json = { 'content-type': 'application/json' }
const put = { method: 'PUT', headers: json, body: '{"a":1}' } as const

void test('on loopback any process may use them, with the names of its path and query', async (t) => {
  const { ask, events } = await start(t, { kind: 'address', address: loopback })
  t.same((await ask({ path: '/v1/things/a%2Fb?page=2' })).value, { name: 'a/b', page: '2' })
  for (const host of ['localhost', 'localhost:9443', 'LOCALHOST', '127.0.0.1:9443', '127.9.9.9', '[::1]:9443', '[::1]']) t.equal((await ask({ headers: { host } })).status, 200, host)
  t.same((await ask(put)).value, { body: { a: 1 } })
  t.match(events, [{ request: 'PUT /v1/things/one', status: 200, error: undefined }], 'who changes something is told of, who reads is not')
})

void test('but no web page that a browser here shows may, neither one that rebinds its name nor any other', async (t) => {
  const { ask, events } = await start(t, { kind: 'address', address: loopback })
  for (const host of ['rebound.example.com', 'rebound.example.com:9443', 'localhost.example.com', '127.0.0.1.example.com', '[::1', '192.0.2.1']) {
    t.match(await ask({ headers: { host } }), { status: 403, value: { error: /Host/ } }, host)
    t.match(await ask({ ...put, headers: { ...json, host } }), { status: 403 }, host)
    t.equal((await ask({ path: '/metrics', headers: { host } })).status, 200, 'while Prometheus may come by any name')
  }
  for (const origin of ['https://page.example.com', 'null', 'http://localhost:9443']) t.match(await ask({ ...put, headers: { ...json, origin } }), { status: 403, value: { error: /web page/ } }, origin)
  for (const type of ['text/plain', 'application/x-www-form-urlencoded', 'multipart/form-data; boundary=x', undefined]) {
    t.match(await ask({ method: 'POST', headers: type === undefined ? {} : { 'content-type': type }, body: '{}' }), { status: 415 }, `what a form can send: ${type}`)
  }
  const preflight = await ask({ method: 'OPTIONS', headers: { origin: 'https://page.example.com', 'access-control-request-method': 'DELETE' } })
  t.match(preflight, { status: 405, headers: { allow: 'GET, HEAD, PUT, POST, DELETE' } })
  t.notOk(Object.keys(preflight.headers).some((name) => name.startsWith('access-control')), 'and a browser that asks leave gets none')
  t.ok(events.every(({ status }) => status === 403))
})

void test('elsewhere nobody may without credentials, and health and metrics are anybody’s', async (t) => {
  const { ask } = await start(t, { kind: 'address', address: { address: '0.0.0.0', port: 0 } })
  t.match(await ask(), { status: 403, value: { error: 'not on this address', expected: /admin\.socket/ } })
  t.match(await ask({ ...put, headers: { ...json, authorization: `Bearer ${token}` } }), { status: 403 })
  for (const path of ['/healthz', '/readyz', '/metrics']) t.equal((await ask({ path })).status, 200, path)
})

void test('with a token, over TLS, who has it may, from anywhere and by any name', async (t) => {
  const { ask, events, server, port } = await start(t, { kind: 'address', address: { address: '0.0.0.0', port: 0 }, tls: { certPem, keyPem }, token })
  const headers = { authorization: `Bearer ${token}`, host: 'gateway.example.com', origin: 'https://page.example.com' }
  t.equal((await ask({ headers })).status, 200)
  t.same((await ask({ ...put, headers: { ...headers, ...json } })).value, { body: { a: 1 } })
  for (const authorization of [undefined, `Bearer ${token}x`, `Bearer ${token.slice(0, -1)}`, 'Bearer ', `Basic ${token}`, token, `Bearer ${token} ${token}`]) {
    const answer = await ask({ headers: authorization === undefined ? {} : { authorization } })
    t.match(answer, { status: 401, headers: { 'www-authenticate': 'Bearer' } }, authorization ?? 'none')
    t.notMatch(JSON.stringify(answer.value), token)
  }
  t.notMatch(JSON.stringify(events), token, 'nor does the log have it')
  for (const path of ['/healthz', '/readyz', '/metrics']) t.equal((await ask({ path })).status, 200, path)
  const next = token.toUpperCase()
  server.change({ kind: 'address', address: { address: '0.0.0.0', port }, tls: { certPem, keyPem }, token: next })
  t.equal((await ask({ headers })).status, 401)
  t.equal((await ask({ headers: { authorization: `bearer ${next}` } })).status, 200)
  const plain = connect(port, '127.0.0.1')
  await once(plain, 'connect')
  plain.write('GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n')
  t.equal((await readToEnd(plain)).bytes.toString('latin1').includes('200 OK'), false, 'who speaks no TLS is not answered')
  t.equal((await ask({ path: '/healthz' })).status, 200)
})

void test('with a token on loopback, a process needs it too', async (t) => {
  const { ask } = await start(t, { kind: 'address', address: loopback, token })
  t.equal((await ask()).status, 401)
  t.equal((await ask({ headers: { authorization: `Bearer ${token}` } })).status, 200)
})

void test('on a Unix socket its owner may, and what a process that died has left is replaced', async (t) => {
  const folder = await socketFolder(t)
  const path = join(folder, 'admin.sock')
  const first = await start(t, { kind: 'socket', path })
  t.equal((await lstat(path)).mode & 0o777, 0o600)
  t.equal((await first.ask({ headers: { host: 'anything' } })).status, 200)
  t.same((await first.ask(put)).value, { body: { a: 1 } })
  t.match(first.events, [{ from: path }])
  const second = await start(t, { kind: 'socket', path })
  await first.server.close()
  t.equal((await second.ask()).status, 200, 'the one that took its place keeps its name')
  await second.server.close()
  await t.rejects(lstat(path), { code: 'ENOENT' })
  await writeFile(path, 'somebody’s')
  await t.rejects(start(t, { kind: 'socket', path }), { message: 'something is there that is no socket' })
  await t.rejects(start(t, { kind: 'socket', path: join(folder, 'nowhere', 'admin.sock') }), { code: 'ENOENT' })
})

void test('a body that is too large, no JSON, or slow to come is refused', async (t) => {
  const { ask, port, events } = await start(t, { kind: 'address', address: loopback }, { bodyBytesMax: 100, headersMsMax: 2_000, requestMsMax: 2_000, checkIntervalMs: 20 })
  t.match(await ask({ ...put, body: `"${'x'.repeat(200)}"` }), { status: 413, headers: { connection: 'close' }, value: { error: /more than 100 bytes/ } })
  t.match(await ask({ ...put, headers: { ...json, 'transfer-encoding': 'chunked' }, body: `"${'x'.repeat(200)}"` }), { status: 413 })
  t.match(await ask({ ...put, body: '{' }), { status: 400, value: { error: /no JSON/ } })
  t.match(await ask({ ...put, body: '' }), { status: 400 })
  const slow = connect(port, '127.0.0.1')
  await once(slow, 'connect')
  slow.write('PUT /v1/things/one HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 50\r\n\r\n{')
  t.match((await readToEnd(slow)).bytes.toString(), /^HTTP\/1\.1 408 |^$/)
  t.same(events, [], 'none of these has changed anything')
  t.equal((await ask()).status, 200)
})
