// An HTTP proxy for tests: CONNECT to anywhere, in the plain or over TLS, for whoever has its credentials.

import { once } from 'node:events'
import { createServer as createHttpServer, type IncomingMessage, type Server } from 'node:http'
import { createServer as createHttpsServer } from 'node:https'
import { connect } from 'node:net'
import type { Duplex } from 'node:stream'
import type { Test } from 'tap'
import type { IssuedCertificate } from '../../src/cli/demo/certificates.ts'

export interface TestProxy {
  readonly port: number
  /** Of each CONNECT that came, its target. */
  readonly targets: string[]
}

export interface ProxyOptions {
  /** Of its own end; absent: it is asked in the plain. */
  readonly certificate?: IssuedCertificate
  /** `user:password` that it wants. */
  readonly credentials?: string
}

export async function startProxy(t: Test, { certificate, credentials }: ProxyOptions = {}): Promise<TestProxy> {
  const targets: string[] = []
  const sockets = new Set<Duplex>()
  const server: Server = certificate === undefined ? createHttpServer() : createHttpsServer({ cert: certificate.certificatePem, key: certificate.keyPem })
  server.on('tlsClientError', () => undefined)
  server.on('connect', (request: IncomingMessage, client: Duplex, head: Buffer) => {
    targets.push(request.url ?? '')
    client.on('error', () => undefined)
    if (credentials !== undefined && request.headers['proxy-authorization'] !== `Basic ${Buffer.from(credentials).toString('base64')}`) {
      client.end('HTTP/1.1 407 Proxy Authentication Required\r\nProxy-Authenticate: Basic realm="test"\r\nContent-Length: 4\r\n\r\nwho?')
      return
    }
    const { hostname, port } = new URL(`http://${request.url}`)
    const upstream = connect({ host: hostname, port: Number(port) })
    for (const socket of [client, upstream]) {
      sockets.add(socket)
      socket.once('close', () => sockets.delete(socket))
    }
    upstream.on('error', () => client.end('HTTP/1.1 502 Bad Gateway\r\n\r\n'))
    upstream.once('connect', () => {
      client.write('HTTP/1.1 200 Connection established\r\nVia: test\r\n\r\n')
      upstream.write(head)
      upstream.pipe(client).pipe(upstream)
    })
    client.once('close', () => upstream.destroy())
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => {
    server.close()
    for (const socket of sockets) socket.destroy()
  })
  const bound = server.address()
  if (bound === null || typeof bound === 'string') throw new Error('no port')
  return { port: bound.port, targets }
}
