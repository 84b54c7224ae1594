// The admin address: health, readiness, metrics and what is running, for kubelets, balancers and Prometheus.
//
// Everything here only reads, and names no tenant, so it needs no credentials; it is on loopback unless the configuration
// says otherwise. The Host header is not looked at: a page that rebinds its name to this address reads what any process on
// the machine may read, and can change nothing. Requests have no body and few headers, and a client that dawdles is cut.

import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { SocketAddress } from '../../core/net/socket-address.ts'

export type Readiness = { readonly kind: 'ready' } | { readonly kind: 'not-ready'; readonly reason: 'starting' | 'draining' | 'no-session' }

/** A path whose answer is JSON. */
export interface AdminPage {
  readonly path: `/v1/${string}`
  /** In the index: what it tells. */
  readonly summary: string
  readonly answer: () => object
}

export interface AdminSources {
  /** In the index: when `/readyz` is 200, and when 503. */
  readonly readyWhen: string
  readonly readiness: () => Readiness
  readonly metrics: { readonly contentType: string; text(): Promise<string> }
  readonly page: AdminPage
  /** Told of an answer that one of these could not give (the client gets a 500), and of connections that could not be accepted. */
  readonly failed: (error: Error, context: string) => void
}

export interface AdminServer {
  /** Resolves to the bound address; rejects with the system's error. */
  listen(address: SocketAddress): Promise<SocketAddress>
  /** Answers what is being answered, and cuts the rest. */
  close(): Promise<void>
}

export interface AdminLimits {
  readonly headerBytesMax: number
  /** From the connection's start, or the request's first byte, to the end of its headers. */
  readonly headersMsMax: number
  readonly requestMsMax: number
  /** Nothing read or written while a request is open: a client that does not take its answer. */
  readonly stalledMsMax: number
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
  headersMsMax: 5_000,
  requestMsMax: 10_000,
  stalledMsMax: 10_000,
  keepAliveMs: 65_000,
  connectionsMax: 256,
  checkIntervalMs: 1_000,
  closeMsMax: 1_000,
}

/** @param limits only tests need others */
export function createAdminServer(sources: AdminSources, limits: Partial<AdminLimits> = {}): AdminServer {
  const { headerBytesMax, headersMsMax, requestMsMax, stalledMsMax, keepAliveMs, connectionsMax, checkIntervalMs, closeMsMax } = { ...defaultLimits, ...limits }
  const server = createServer({
    maxHeaderSize: headerBytesMax,
    headersTimeout: headersMsMax,
    requestTimeout: requestMsMax,
    keepAliveTimeout: keepAliveMs,
    connectionsCheckingInterval: checkIntervalMs,
  }, (request, response) => {
    void answer(request, response, sources)
  })
  server.timeout = stalledMsMax
  server.maxConnections = connectionsMax
  return {
    listen: async (address) => {
      const bound = await listen(server, address)
      server.on('error', (error) => sources.failed(error, 'accept on admin.address'))
      return bound
    },
    close: async () => await close(server, closeMsMax),
  }
}

async function listen(server: Server, { address, port }: SocketAddress): Promise<SocketAddress> {
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject)
    server.listen({ host: address, port }, () => {
      server.off('error', reject)
      resolve()
    })
  })
  const bound = server.address()
  if (bound === null || typeof bound === 'string') throw new Error('bug: the admin server has no TCP address')
  return { address: bound.address, port: bound.port }
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
}

async function answer(request: IncomingMessage, response: ServerResponse, sources: AdminSources): Promise<void> {
  const { status, body, contentType } = await answerFor(request, sources)
  const hasBody = request.headers['content-length'] !== undefined || request.headers['transfer-encoding'] !== undefined
  response.writeHead(status, {
    'content-type': contentType,
    'content-length': Buffer.byteLength(body),
    'cache-control': 'no-store',
    'x-content-type-options': 'nosniff',
    ...(status === 405 ? { allow: 'GET, HEAD' } : {}),
    // A body is not read: the connection can't be used again.
    ...(hasBody ? { connection: 'close' } : {}),
  })
  response.end(request.method === 'HEAD' ? undefined : body)
}

async function answerFor(request: IncomingMessage, sources: AdminSources): Promise<Answer> {
  try {
    return await route(request, sources)
  } catch (error) {
    sources.failed(error instanceof Error ? error : new Error(String(error)), 'answer on admin.address')
    return json(500, { error: 'this answer failed; the log says why' })
  }
}

async function route({ method, url = '' }: IncomingMessage, { readyWhen, readiness, metrics, page }: AdminSources): Promise<Answer> {
  if (method !== 'GET' && method !== 'HEAD') return json(405, { error: 'method not allowed', allowed: ['GET', 'HEAD'] })
  switch (url.split('?', 1)[0]) {
    case '/': return plain(200, indexOf(readyWhen, page))
    case '/healthz': return plain(200, 'ok\n')
    case '/readyz': {
      const ready = readiness()
      return ready.kind === 'ready' ? plain(200, 'ok\n') : plain(503, `${ready.reason}\n`)
    }
    case '/metrics': return { status: 200, body: await metrics.text(), contentType: metrics.contentType }
    case page.path: return json(200, page.answer())
    default: return json(404, { error: 'not found', paths: ['/', '/healthz', '/readyz', '/metrics', page.path] })
  }
}

function indexOf(readyWhen: string, { path, summary }: AdminPage): string {
  const rows = [['/healthz', '200 while the process lives'], ['/readyz', readyWhen], ['/metrics', 'Prometheus'], [path, summary]] as const
  return `Sluice\n${rows.map(([each, what]) => `${each.padEnd(15)}${what}\n`).join('')}`
}

function plain(status: number, body: string): Answer {
  return { status, body, contentType: 'text/plain; charset=utf-8' }
}

function json(status: number, value: object): Answer {
  return { status, body: `${JSON.stringify(value)}\n`, contentType: 'application/json' }
}
