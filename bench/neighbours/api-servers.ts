// API servers, as far as ARP can tell: on each such host TLS that echoes, with a name of its own.

import { once } from 'node:events'
import type { Socket } from 'node:net'
import { createServer, type Server } from 'node:tls'
import { createCa } from '../../src/cli/demo/certificates.ts'
import { openListeningSockets } from '../../src/relay/linux/listening-sockets.ts'
import type { Host } from './segment.ts'

export const apiServerPort = 6443
const domain = 'k8s.example'

/** Of the API server of that index. */
export function serverNameOf(index: number): string {
  return `tenant-${index}.${domain}`
}

export class ApiServers {
  readonly caPem: string
  readonly #servers: readonly Server[]
  readonly #sockets: ReadonlySet<Socket>

  private constructor(fields: { caPem: string, servers: readonly Server[], sockets: ReadonlySet<Socket> }) {
    this.caPem = fields.caPem
    this.#servers = fields.servers
    this.#sockets = fields.sockets
  }

  static async start(hosts: readonly Host[]): Promise<ApiServers> {
    const ca = createCa('bench CA')
    const { certificatePem: cert, keyPem: key } = ca.issue({ commonName: domain, dnsNames: [`*.${domain}`], usages: ['server'] })
    const sockets = new Set<Socket>()
    const servers = await Promise.all(hosts.map(async ({ namespace, address }) => {
      const server = createServer({ cert, key }, (socket) => {
        // Whoever resets tells the caller's side why; here nothing is lost.
        socket.pipe(socket).on('error', () => socket.destroy())
      })
      server.on('connection', (socket) => {
        sockets.add(socket)
        socket.once('close', () => sockets.delete(socket))
      })
      const { fds: [fd] } = namespace.within(() => openListeningSockets({ address, port: apiServerPort }, { ipv6Only: false }, 1))
      server.listen({ fd })
      await once(server, 'listening')
      return server
    }))
    return new ApiServers({ caPem: ca.certificatePem, servers, sockets })
  }

  async stop(): Promise<void> {
    const closed = Promise.all(this.#servers.map(async (server) => {
      server.close()
      await once(server, 'close')
    }))
    for (const socket of this.#sockets) socket.destroy()
    await closed
  }
}
