// The admin address: health, readiness and metrics for kubelets, balancers and Prometheus, and the pages under /v1 for those who run it.
//
//   request ─▶ route? ─▶ access.ts ─▶ body: JSON, bounded ─▶ the route's answer
//               404, 405   401, 403    415, 413, 400
//
// It listens on TCP, with TLS or without, or on a Unix socket. Requests have few headers and small bodies, and a client that dawdles is cut.

import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import { createServer as createTlsServer, type Server as TlsServer } from 'node:https'
import { formatSocketAddress, type SocketAddress } from '../../core/net/socket-address.ts'
import { NamedSocket } from '../../system/named-socket.ts'
import { escapeText } from '../access-line.ts'
import { accessRefusal, gateOf, isJson, type AdminGate } from './access.ts'
import { readJsonBody } from './json-body.ts'
import { matchRoute, type AdminRoute } from './routes.ts'

export type Readiness = { readonly kind: 'ready' } | { readonly kind: 'not-ready'; readonly reason: 'starting' | 'draining' | 'no-session' }

export type AdminEntry =
  | { readonly kind: 'address'; readonly address: SocketAddress; readonly tls?: TlsPair; readonly token?: string }
  | { readonly kind: 'socket'; readonly path: string }

interface TlsPair {
  readonly certPem: string
  readonly keyPem: string
}

/** A request that changes something, or was kept from a guarded page; for the log. */
export interface AdminEvent {
  /** `192.0.2.7:41234`, or the path of the Unix socket. */
  readonly from: string
  /** `PUT /v1/…`, in printable ASCII. */
  readonly request: string
  readonly status: number
  readonly error: string | undefined
}

export interface AdminSources {
  /** In the index: when `/readyz` is 200, and when 503. */
  readonly readyWhen: string
  readonly readiness: () => Readiness
  readonly metrics: { readonly contentType: string; text(): Promise<string> }
  readonly routes: readonly AdminRoute[]
  /** @default nobody is told */
  readonly answered?: (event: AdminEvent) => void
  /** Told of an answer that one of these could not give (the client gets a 500), and of connections that could not be accepted. */
  readonly failed: (error: Error, context: string) => void
}

export interface AdminServer {
  /** Resolves to the bound address, of a Unix socket to undefined; rejects with the system's error. */
  listen(): Promise<SocketAddress | undefined>
  /** For connections and requests from now on: another token, another certificate. @param entry with the same address, and TLS as before */
  change(entry: AdminEntry): void
  /** Answers what is being answered, and cuts the rest. */
  close(): Promise<void>
}

export interface AdminLimits {
  readonly headerBytesMax: number
  readonly bodyBytesMax: number
  /** From the connection's start, or the request's first byte, to the end of its headers. */
  readonly headersMsMax: number
  /** … and of its body. */
  readonly requestMsMax: number
  /** Nothing read or written while a request is open: a client that does not take its answer. */
  readonly stalledMsMax: number
  readonly handshakeMsMax: number
  readonly keepAliveMs: number
  readonly connectionsMax: number
  /** Overdue requests are looked for this often. */
  readonly checkIntervalMs: number
  /** For answers that are under way when the server closes. */
  readonly closeMsMax: number
}

/** Keep-alive outlasts a Prometheus scrape interval of a minute. */
const defaultLimits: AdminLimits = {
  headerBytesMax: 8 * 1024,
  bodyBytesMax: 16 * 1024,
  headersMsMax: 5_000,
  requestMsMax: 10_000,
  stalledMsMax: 10_000,
  handshakeMsMax: 5_000,
  keepAliveMs: 65_000,
  connectionsMax: 256,
  checkIntervalMs: 1_000,
  closeMsMax: 1_000,
}

/** Whoever may open it may do everything: its owner. */
const socketMode = 0o600

/** @param limits only tests need others */
export function createAdminServer(entry: AdminEntry, sources: AdminSources, limits: Partial<AdminLimits> = {}): AdminServer {
  const all = { ...defaultLimits, ...limits }
  let gate = gateOfEntry(entry)
  let name: NamedSocket | undefined
  const server = createHttpServer(entry, all, (request, response) => {
    void answer(request, response, { sources, gate, bodyBytesMax: all.bodyBytesMax, from: fromOf(request, entry) })
  })
  return {
    listen: async () => {
      if (entry.kind === 'socket') name = await NamedSocket.bind({ path: entry.path, mode: socketMode, listen: async (draft) => await listen(server, { path: draft }) })
      else await listen(server, { host: entry.address.address, port: entry.address.port })
      server.on('error', (error) => sources.failed(error, `accept on ${entry.kind === 'socket' ? 'admin.socket' : 'admin.address'}`))
      const bound = server.address()
      return typeof bound === 'object' && bound !== null ? { address: bound.address, port: bound.port } : undefined
    },
    change: (next) => {
      gate = gateOfEntry(next)
      if (next.kind === 'address' && next.tls !== undefined && 'setSecureContext' in server) server.setSecureContext(contextOf(next.tls))
    },
    close: async () => {
      await name?.remove()
      await close(server, all.closeMsMax)
    },
  }
}

function gateOfEntry(entry: AdminEntry): AdminGate {
  return entry.kind === 'socket' ? { kind: 'socket' } : gateOf({ address: entry.address.address, token: entry.token })
}

function createHttpServer(entry: AdminEntry, limits: AdminLimits, listener: (request: IncomingMessage, response: ServerResponse) => void): Server | TlsServer {
  const { headerBytesMax, headersMsMax, requestMsMax, stalledMsMax, handshakeMsMax, keepAliveMs, connectionsMax, checkIntervalMs } = limits
  const options = { maxHeaderSize: headerBytesMax, headersTimeout: headersMsMax, requestTimeout: requestMsMax, keepAliveTimeout: keepAliveMs, connectionsCheckingInterval: checkIntervalMs }
  const tls = entry.kind === 'address' ? entry.tls : undefined
  const server = tls === undefined ? createServer(options, listener) : createTlsServer({ ...options, ...contextOf(tls), handshakeTimeout: handshakeMsMax, ALPNProtocols: ['http/1.1'] }, listener)
  server.timeout = stalledMsMax
  server.maxConnections = connectionsMax
  if (tls !== undefined) server.on('tlsClientError', (_error, socket) => socket.destroy())
  return server
}

function contextOf({ certPem, keyPem }: TlsPair): { readonly cert: string; readonly key: string; readonly minVersion: 'TLSv1.2' } {
  return { cert: certPem, key: keyPem, minVersion: 'TLSv1.2' }
}

function fromOf({ socket: { remoteAddress = 'unknown', remotePort = 0 } }: IncomingMessage, entry: AdminEntry): string {
  return entry.kind === 'socket' ? entry.path : formatSocketAddress({ address: remoteAddress, port: remotePort })
}

async function listen(server: Server, where: { readonly path: string } | { readonly host: string; readonly port: number }): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject)
    server.listen(where, () => {
      server.off('error', reject)
      resolve()
    })
  })
}

async function close(server: Server, closeMsMax: number): Promise<void> {
  if (!server.listening) return
  const timer = setTimeout(() => server.closeAllConnections(), closeMsMax)
  await new Promise((resolve) => {
    server.close(resolve)
    server.closeIdleConnections()
  })
  clearTimeout(timer)
}

interface Answer {
  readonly status: number
  readonly body: string
  readonly contentType: string
  readonly headers?: Readonly<Record<string, string>>
}

interface Asked {
  readonly sources: AdminSources
  readonly gate: AdminGate
  readonly bodyBytesMax: number
  readonly from: string
}

async function answer(request: IncomingMessage, response: ServerResponse, asked: Asked): Promise<void> {
  const answered = await answerFor(request, asked)
  if (answered === undefined) return
  const { status, body, contentType, headers } = answered
  response.writeHead(status, {
    'content-type': contentType,
    'content-length': Buffer.byteLength(body),
    'cache-control': 'no-store',
    'x-content-type-options': 'nosniff',
    ...headers,
    // A body that was not read: the connection can't be used again.
    ...(hasBody(request) && !request.readableEnded ? { connection: 'close' } : {}),
  })
  response.end(request.method === 'HEAD' ? undefined : body)
}

function hasBody({ headers }: IncomingMessage): boolean {
  return headers['content-length'] !== undefined || headers['transfer-encoding'] !== undefined
}

/** @returns undefined: the client has left */
async function answerFor(request: IncomingMessage, asked: Asked): Promise<Answer | undefined> {
  try {
    return await pageFor(request, asked)
  } catch (error) {
    asked.sources.failed(error instanceof Error ? error : new Error(String(error)), 'answer on admin.address')
    return json(500, { error: 'this answer failed; the log says why' })
  }
}

async function pageFor(request: IncomingMessage, asked: Asked): Promise<Answer | undefined> {
  const { readyWhen, readiness, metrics, routes } = asked.sources
  const [path = '', query = ''] = (request.url ?? '').split('?', 2)
  const method = request.method === 'HEAD' ? 'GET' : request.method ?? ''
  if (!['/', '/healthz', '/readyz', '/metrics'].includes(path)) return await routed(request, asked, { method, path, query })
  if (method !== 'GET') return notAllowed(['GET'])
  switch (path) {
    case '/healthz': return plain(200, 'ok\n')
    case '/readyz': {
      const ready = readiness()
      return ready.kind === 'ready' ? plain(200, 'ok\n') : plain(503, `${ready.reason}\n`)
    }
    case '/metrics': return { status: 200, body: await metrics.text(), contentType: metrics.contentType }
    default: return plain(200, indexOf(readyWhen, routes))
  }
}

async function routed(request: IncomingMessage, asked: Asked, { method, path, query }: { readonly method: string; readonly path: string; readonly query: string }): Promise<Answer | undefined> {
  const { sources: { routes, answered }, gate, bodyBytesMax, from } = asked
  const match = matchRoute(routes, method, path)
  if (match.kind === 'none') return json(404, { error: 'not found', paths: [...new Set(['/', '/healthz', '/readyz', '/metrics', ...routes.map((route) => route.path)])] })
  if (match.kind === 'other-methods') return notAllowed(match.methods)
  const { route, params } = match
  const tell = (status: number, error: string | undefined): void => answered?.({ from, request: `${method} ${escapeText(request.url ?? '')}`, status, error })
  const refused = route.access === 'open' ? undefined : accessRefusal(gate, request.headers)
  if (refused !== undefined) {
    const { status, error, expected } = refused
    tell(status, error)
    return { ...json(status, { error, expected }), ...(status === 401 ? { headers: { 'www-authenticate': 'Bearer' } } : {}) }
  }
  let body: unknown
  if (method === 'PUT' || method === 'POST') {
    if (!isJson(request.headers)) return json(415, { error: 'the body is not said to be JSON', expected: 'the header Content-Type: application/json' })
    const read = await readJsonBody(request, bodyBytesMax)
    if (read === undefined) return undefined
    if (read.kind === 'refused') return json(read.status, { error: read.error })
    body = read.value
  }
  const { status, value } = await route.answer({ params, query: new URLSearchParams(query), body })
  if (method !== 'GET') tell(status, 'error' in value ? String(value.error) : undefined)
  return json(status, value)
}

function notAllowed(methods: readonly string[]): Answer {
  const allowed = methods.includes('GET') ? ['GET', 'HEAD', ...methods.filter((method) => method !== 'GET')] : methods
  return { ...json(405, { error: 'method not allowed', allowed }), headers: { allow: allowed.join(', ') } }
}

function indexOf(readyWhen: string, routes: readonly AdminRoute[]): string {
  const rows = [
    ['/healthz', '200 while the process lives'], ['/readyz', readyWhen], ['/metrics', 'Prometheus'],
    ...routes.map(({ method, path, summary }) => [method === 'GET' ? path : `${method} ${path}`, summary] as const),
  ] as const
  const width = Math.max(...rows.map(([each]) => each.length)) + 2
  return `Sluice\n${rows.map(([each, what]) => `${each.padEnd(width)}${what}\n`).join('')}`
}

function plain(status: number, body: string): Answer {
  return { status, body, contentType: 'text/plain; charset=utf-8' }
}

function json(status: number, value: object): Answer {
  return { status, body: `${JSON.stringify(value)}\n`, contentType: 'application/json' }
}
