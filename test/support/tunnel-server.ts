// The HTTPS server that tests have behind a tunnel hostname: it tells what it was asked, and which request of its connection
// that was; an upgraded connection echoes.

import { createServer, type Server } from 'node:https'
import type { Duplex } from 'node:stream'
import type { IssuedCertificate } from '../../src/cli/demo/certificates.ts'

export interface TunnelAnswer {
  readonly request: string
  readonly bodyBytes: number
  /** Of its connection: 1, 2, … */
  readonly number: number
  readonly client: string | undefined
}

export function createTunnelServer({ certificatePem, keyPem }: IssuedCertificate): Server {
  const requests = new WeakMap<Duplex, number>()
  const server = createServer({ cert: certificatePem, key: keyPem }, (request, response) => {
    const { socket, method, url } = request
    const number = (requests.get(socket) ?? 0) + 1
    requests.set(socket, number)
    let bodyBytes = 0
    request.on('data', (chunk: Buffer) => {
      bodyBytes += chunk.byteLength
    })
    request.on('end', () => {
      const answer: TunnelAnswer = { request: `${method} ${url}`, bodyBytes, number, client: socket.remoteAddress }
      response.end(JSON.stringify(answer))
    })
  })
  server.on('upgrade', (_request, socket, head) => {
    socket.on('error', () => undefined)
    socket.write('HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n')
    socket.write(head)
    socket.pipe(socket)
  })
  // Clients that leave in the middle of their handshake.
  server.on('tlsClientError', () => undefined)
  return server
}
