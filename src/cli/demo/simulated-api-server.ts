// As much of a kube-apiserver as curl, `kubectl get namespaces` and `kubectl get configmaps --watch` need: HTTPS with the
// tenant's own authority, client certificates, legacy discovery, one ConfigMap that can be applied, and watches of it.
//
//   PATCH …/configmaps/heartbeat ─▶ resourceVersion + 1 ─▶ one line of JSON to every watch

import { once } from 'node:events'
import type { IncomingMessage, ServerResponse } from 'node:http'
import { createServer, type Server } from 'node:https'
import { TLSSocket } from 'node:tls'
import { loopback } from './layout.ts'
import type { Tenant } from './tenant.ts'

const watchesMax = 100
const bodyBytesMax = 64 * 1024
const configMapsPath = '/api/v1/namespaces/default/configmaps'

interface ConfigMap {
  readonly apiVersion: 'v1'
  readonly kind: 'ConfigMap'
  readonly metadata: {
    readonly name: string
    readonly namespace: string
    readonly resourceVersion: string
    readonly creationTimestamp: string
  }
  readonly data: unknown
}

export class SimulatedApiServer {
  readonly #server: Server
  readonly #startedAt = new Date().toISOString().replace(/\.\d+/, '')
  readonly #watches = new Set<ServerResponse>()
  #resourceVersion = 1
  #configMap: ConfigMap | undefined

  private constructor({ serving, ca }: Tenant) {
    this.#server = createServer({
      cert: serving.certificatePem,
      key: serving.keyPem,
      ca: ca.certificatePem,
      // A client without a certificate is anonymous, as with a kube-apiserver: it may ask for the version, no more.
      requestCert: true,
      rejectUnauthorized: false,
    }, (request, response) => this.#serve(request, response))
  }

  static async start(tenant: Tenant): Promise<SimulatedApiServer> {
    const server = new SimulatedApiServer(tenant)
    server.#server.listen(tenant.port, loopback)
    await once(server.#server, 'listening')
    return server
  }

  async stop(): Promise<void> {
    this.#server.close()
    this.#server.closeAllConnections()
    if (this.#server.listening) await once(this.#server, 'close')
  }

  #serve(request: IncomingMessage, response: ServerResponse): void {
    const { pathname, searchParams } = new URL(request.url ?? '/', 'https://api-server')
    const { method = 'GET' } = request
    switch (pathname) {
      case '/livez':
      case '/readyz':
      case '/healthz':
        response.writeHead(200, { 'content-type': 'text/plain' }).end('ok')
        return
      case '/version':
        respond(response, 200, version)
        return
      default:
    }
    if (!(request.socket instanceof TLSSocket) || !request.socket.authorized) {
      respond(response, 401, failure(401, 'Unauthorized', 'Unauthorized'))
    } else if (method === 'PATCH' && pathname === `${configMapsPath}/heartbeat`) {
      this.#apply(request, response)
    } else if (method === 'GET' && pathname === `${configMapsPath}/heartbeat` && this.#configMap !== undefined) {
      respond(response, 200, this.#configMap)
    } else if (method === 'GET' && pathname === configMapsPath && isTrue(searchParams.get('watch'))) {
      this.#watch(response, searchParams.get('resourceVersion'))
    } else if (method === 'GET') {
      this.#get(pathname, response)
    } else {
      respond(response, 405, failure(405, 'MethodNotAllowed', `${method} is not simulated here`))
    }
  }

  #get(pathname: string, response: ServerResponse): void {
    const configMaps = this.#configMap === undefined ? [] : [this.#configMap]
    switch (pathname) {
      case '/api': respond(response, 200, { kind: 'APIVersions', versions: ['v1'], serverAddressByClientCIDRs: [] }); break
      case '/apis': respond(response, 200, { kind: 'APIGroupList', apiVersion: 'v1', groups: [] }); break
      case '/api/v1': respond(response, 200, resources); break
      case '/api/v1/namespaces': respond(response, 200, this.#list('NamespaceList', [this.#namespace()])); break
      case '/api/v1/namespaces/default': respond(response, 200, this.#namespace()); break
      case configMapsPath: respond(response, 200, this.#list('ConfigMapList', configMaps)); break
      default: respond(response, 404, failure(404, 'NotFound', `${pathname} is not simulated here`))
    }
  }

  #namespace(): object {
    return {
      apiVersion: 'v1',
      kind: 'Namespace',
      metadata: { name: 'default', resourceVersion: '1', creationTimestamp: this.#startedAt },
      status: { phase: 'Active' },
    }
  }

  #list(kind: string, items: readonly object[]): object {
    return { kind, apiVersion: 'v1', metadata: { resourceVersion: String(this.#resourceVersion) }, items }
  }

  #apply(request: IncomingMessage, response: ServerResponse): void {
    let body = ''
    request.setEncoding('utf8').on('data', (text: string) => {
      body += text
      if (body.length > bodyBytesMax) request.destroy()
    })
    request.once('end', () => {
      const data = dataOf(body)
      if (data === undefined) {
        respond(response, 400, failure(400, 'BadRequest', 'the body is no JSON object with data'))
        return
      }
      const type = this.#configMap === undefined ? 'ADDED' : 'MODIFIED'
      this.#resourceVersion += 1
      this.#configMap = {
        apiVersion: 'v1',
        kind: 'ConfigMap',
        metadata: {
          name: 'heartbeat',
          namespace: 'default',
          resourceVersion: String(this.#resourceVersion),
          creationTimestamp: this.#startedAt,
        },
        data,
      }
      for (const watch of this.#watches) sendEvent(watch, type, this.#configMap)
      respond(response, 200, this.#configMap)
    })
  }

  /** From `resourceVersion` on; without one, what there is comes first. */
  #watch(response: ServerResponse, resourceVersion: string | null): void {
    if (this.#watches.size >= watchesMax) {
      respond(response, 429, failure(429, 'TooManyRequests', `${watchesMax} watches are open`))
      return
    }
    response.writeHead(200, { 'content-type': 'application/json' }).flushHeaders()
    this.#watches.add(response)
    response.once('close', () => this.#watches.delete(response))
    const current = this.#configMap
    if (current !== undefined && current.metadata.resourceVersion !== resourceVersion) sendEvent(response, 'ADDED', current)
  }
}

const version = {
  major: '1',
  minor: '36',
  gitVersion: 'v1.36.0-simulated',
  gitCommit: '',
  gitTreeState: 'clean',
  buildDate: '1970-01-01T00:00:00Z',
  goVersion: '',
  compiler: '',
  platform: `${process.platform}/${process.arch}`,
}

const resources = {
  kind: 'APIResourceList',
  apiVersion: 'v1',
  groupVersion: 'v1',
  resources: [
    { name: 'namespaces', singularName: 'namespace', namespaced: false, kind: 'Namespace', verbs: ['get', 'list'], shortNames: ['ns'] },
    { name: 'configmaps', singularName: 'configmap', namespaced: true, kind: 'ConfigMap', verbs: ['get', 'list', 'patch', 'watch'], shortNames: ['cm'] },
  ],
}

function failure(code: number, reason: string, message: string): object {
  return { kind: 'Status', apiVersion: 'v1', metadata: {}, status: 'Failure', reason, message, code }
}

function respond(response: ServerResponse, status: number, body: object): void {
  response.writeHead(status, { 'content-type': 'application/json' }).end(`${JSON.stringify(body)}\n`)
}

function sendEvent(watch: ServerResponse, type: 'ADDED' | 'MODIFIED', object: ConfigMap): void {
  // A reader that has stopped is let go, as the real one does, rather than buffered for.
  if (watch.writableNeedDrain) watch.destroy()
  else watch.write(`${JSON.stringify({ type, object })}\n`)
}

function isTrue(parameter: string | null): boolean {
  return parameter === 'true' || parameter === '1'
}

/** The JSON's `data`; undefined if the text is something else. */
function dataOf(text: string): object | undefined {
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch {
    return undefined
  }
  if (typeof value !== 'object' || value === null || !('data' in value)) return undefined
  return typeof value.data === 'object' && value.data !== null ? value.data : undefined
}
