// One entry of an egress: where API servers connect, and whose they are.
//
// A Unix socket belongs to one tenant: who may open it is the file system's to say.

import type { X509Certificate } from 'node:crypto'
import { once } from 'node:events'
import type { Socket } from 'node:net'
import { createServer, type Server, type TLSSocket } from 'node:tls'
import { formatSocketAddress, type SocketAddress } from '../../core/net/socket-address.ts'
import type { SocketListener, StreamSocket, StreamSockets } from '../../core/tunnel/stream-sockets.ts'
import { NamedSocket } from '../../system/named-socket.ts'
import { certificateFacts } from '../certificate-facts.ts'
import { NodeSocket } from '../node-sockets.ts'

/** Owner and group: the folder says who else gets there. */
const socketMode = 0o660
/** Connections that wait to be accepted. On a Unix socket one more fails at once (EAGAIN): API servers dial many nodes together. */
const backlogMax = 4_096
/** Of one entry, with those that are not through their handshake; more are closed at once. */
const openMax = 24_000
/** For TLS. */
const handshakeMsMax = 5_000

export type EgressEntry =
  | { readonly kind: 'socket'; readonly path: string; readonly tenant: string }
  /** Of the client's certificate, O is the tenant's name. */
  | { readonly kind: 'tls'; readonly address: SocketAddress; readonly certPem: string; readonly keyPem: string; readonly clientCaPem: string }

/** As it is called in logs and errors; two of a configuration differ in it. */
export function entryName(entry: EgressEntry): string {
  return entry.kind === 'socket' ? entry.path : formatSocketAddress(entry.address)
}

export interface EgressServerHandler {
  /** @param tenant undefined: the certificate names none, and `stranger` says what it names */
  readonly accepted: (socket: StreamSocket, client: { readonly tenant: string | undefined; readonly stranger: string }) => void
  readonly refused: (detail: string) => void
  /** Of an entry with TLS: a client’s TCP connection, whose error, if it gets one, is not told. */
  readonly connected: ((socket: Socket) => void) | undefined
}

export class EgressServer {
  readonly #handler: EgressServerHandler
  readonly #sockets: StreamSockets
  #listener: SocketListener | undefined
  #tlsServer: Server | undefined
  #entry: EgressEntry
  #name: NamedSocket | undefined
  #bound: SocketAddress | undefined

  private constructor(entry: EgressEntry, sockets: StreamSockets, handler: EgressServerHandler) {
    this.#entry = entry
    this.#sockets = sockets
    this.#handler = handler
  }

  /** @throws an error that names what can't be bound */
  static async open(entry: EgressEntry, sockets: StreamSockets, handler: EgressServerHandler): Promise<EgressServer> {
    const server = new EgressServer(entry, sockets, handler)
    try {
      if (entry.kind === 'socket') server.#name = await NamedSocket.bind({ path: entry.path, mode: socketMode, listen: async (draft) => await server.#bindSocket(draft) })
      else await server.#bindTls(entry)
    } catch (error) {
      server.#stop()
      throw new Error(`egress ${entryName(entry)} can't be bound: ${error instanceof Error ? error.message : String(error)}`, { cause: error })
    }
    return server
  }

  get entry(): EgressEntry {
    return this.#entry
  }

  /** Of an entry with TLS. */
  get bound(): SocketAddress | undefined {
    return this.#bound
  }

  /** For connections from now on: another tenant, or another certificate. @param entry with the same name */
  change(entry: EgressEntry): void {
    this.#entry = entry
    if (entry.kind === 'tls') this.#tlsServer?.setSecureContext(contextOf(entry))
  }

  /** Accepts nothing more; its name is removed, if it is still this one's. */
  async close(): Promise<void> {
    this.#stop()
    await this.#name?.remove()
  }

  #stop(): void {
    this.#listener?.close()
    this.#tlsServer?.close()
  }

  async #bindTls(entry: EgressEntry & { readonly kind: 'tls' }): Promise<void> {
    // Who is refused by TLS itself leaves neither an address nor the reason: it is done below.
    const server = createServer({ ...contextOf(entry), requestCert: true, rejectUnauthorized: false, handshakeTimeout: handshakeMsMax, allowHalfOpen: true, noDelay: true }, (socket) => this.#secured(socket))
    this.#tlsServer = server
    server.maxConnections = openMax
    server.on('drop', () => this.#dropped())
    server.on('connection', (socket: Socket) => {
      socket.on('error', () => undefined)
      this.#handler.connected?.(socket)
    })
    server.on('tlsClientError', (error, socket) => {
      this.#handler.refused(`${socket.remoteAddress ?? 'unknown'}: ${error.message}`)
      // One whose handshake took too long is open still.
      socket.destroy()
    })
    server.listen({ host: entry.address.address, port: entry.address.port, backlog: backlogMax })
    await once(server, 'listening')
    // Out of descriptors, say: the next connection may be accepted again.
    server.on('error', (error) => this.#handler.refused(error.message))
    const bound = server.address()
    if (typeof bound === 'object' && bound !== null) this.#bound = { address: bound.address, port: bound.port }
  }

  #secured(socket: TLSSocket): void {
    const certificate = socket.getPeerX509Certificate()
    if (certificate !== undefined && socket.authorized) {
      this.#handler.accepted(new NodeSocket(socket), tenantIn(certificate))
      return
    }
    this.#handler.refused(`${socket.remoteAddress ?? 'unknown'}: ${certificate === undefined ? 'no client certificate' : `its client certificate: ${String(socket.authorizationError)}`}`)
    socket.on('error', () => undefined)
    socket.destroy()
  }

  #dropped(): void {
    this.#handler.refused(`over ${openMax} connections`)
  }

  async #bindSocket(path: string): Promise<void> {
    this.#listener = await this.#sockets.listen({
      at: { path }, backlog: backlogMax, openMax,
      accepted: (socket) => this.#handler.accepted(socket, { tenant: this.#entry.kind === 'socket' ? this.#entry.tenant : undefined, stranger: '' }),
      dropped: () => this.#dropped(),
      failed: (error) => this.#handler.refused(error.message),
    })
  }
}

function contextOf({ certPem, keyPem, clientCaPem }: EgressEntry & { readonly kind: 'tls' }): { readonly cert: string; readonly key: string; readonly ca: string; readonly minVersion: 'TLSv1.2' } {
  return { cert: certPem, key: keyPem, ca: clientCaPem, minVersion: 'TLSv1.2' }
}

function tenantIn(certificate: X509Certificate): { readonly tenant: string | undefined; readonly stranger: string } {
  const { organizations } = certificateFacts(certificate)
  if (organizations.length === 1) return { tenant: organizations[0], stranger: '' }
  return { tenant: undefined, stranger: `the client certificate must name the tenant in O, once; it has ${organizations.length === 0 ? 'none' : organizations.join(', ')}` }
}
