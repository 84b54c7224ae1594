// Stream sockets on node:net: for systems where the Linux ones (src/relay/linux) don't run, and for TLS.

import { once } from 'node:events'
import { connect, createServer, type Socket } from 'node:net'
import { TLSSocket } from 'node:tls'
import type { SocketAddress } from '../core/net/socket-address.ts'
import type { SocketDial, SocketHandler, SocketListen, SocketListener, StreamSocket, StreamSockets } from '../core/tunnel/stream-sockets.ts'

/** A piece of a bulky flow: others are about to come in this turn, and go out in one system call with it. */
const bulkBytes = 8 * 1024

const nobody: SocketHandler = { received: () => undefined, peerFinished: () => undefined, taken: () => undefined, closed: () => undefined }

export class NodeSocket implements StreamSocket {
  handler: SocketHandler = nobody
  readonly #socket: Socket
  /** Written and not yet taken. */
  #owedBytes = 0

  /** @param socket paused, and allowed to be half-open; no longer anybody else's */
  constructor(socket: Socket) {
    this.#socket = socket
    socket.on('data', (bytes: Buffer) => this.handler.received(bytes))
    socket.on('end', () => this.handler.peerFinished())
    socket.on('drain', () => this.#drained())
    // What went wrong is in how it closes.
    socket.on('error', () => undefined)
    socket.on('close', (hadError) => this.handler.closed(!hadError && socket.readableEnded && socket.writableFinished))
    // 'data' has it flow.
    socket.pause()
  }

  get peer(): SocketAddress | undefined {
    const { remoteAddress: address, remotePort: port } = this.#socket
    return address === undefined || port === undefined ? undefined : { address, port }
  }

  write(bytes: Uint8Array): number {
    const socket = this.#socket
    // Nothing is a question to the system, not to TLS.
    if (bytes.length === 0 && socket instanceof TLSSocket) return 0
    if (bytes.length >= bulkBytes && socket.writableCorked === 0) {
      socket.cork()
      setImmediate(() => socket.uncork())
    }
    if (socket.write(bytes) || socket.destroyed) return bytes.length
    this.#owedBytes += bytes.length
    return 0
  }

  finish(): void {
    this.#socket.end()
  }

  reset(): void {
    const socket = this.#socket
    this.handler = nobody
    // Only TCP has a reset. TLS that ends without its close_notify says as much; on a Unix socket an end is an end.
    if (socket.remoteAddress !== undefined && !(socket instanceof TLSSocket)) socket.resetAndDestroy()
    else socket.destroy()
  }

  pause(): void {
    this.#socket.pause()
  }

  resume(): void {
    this.#socket.resume()
  }

  #drained(): void {
    const owedBytes = this.#owedBytes
    this.#owedBytes = 0
    if (owedBytes > 0) this.handler.taken(owedBytes)
  }
}

/** @param watchPeer is given each TCP socket, to end it when its peer has vanished */
export function createNodeSockets(watchPeer?: (socket: Socket) => void): StreamSockets {
  return {
    dial: ({ to, connected, failed }: SocketDial) => {
      const socket = connect({ host: to.address, port: to.port, noDelay: true, allowHalfOpen: true })
      let isOver = false
      const leave = (): void => {
        isOver = true
        socket.removeAllListeners()
        socket.on('error', () => undefined)
      }
      socket.once('error', (error: NodeJS.ErrnoException) => {
        leave()
        socket.destroy()
        failed(error.code ?? error.message)
      })
      socket.once('connect', () => {
        leave()
        watchPeer?.(socket)
        connected(new NodeSocket(socket))
      })
      return {
        abandon: () => {
          if (isOver) return
          leave()
          socket.destroy()
        },
      }
    },

    listen: async ({ at, backlog, openMax = Infinity, accepted, dropped, failed }: SocketListen): Promise<SocketListener> => {
      const server = createServer({ allowHalfOpen: true, noDelay: true, pauseOnConnect: true }, (socket) => {
        if ('address' in at) watchPeer?.(socket)
        accepted(new NodeSocket(socket))
      })
      if (openMax !== Infinity) server.maxConnections = openMax
      server.on('drop', dropped)
      server.listen({ ...('path' in at ? { path: at.path } : { host: at.address, port: at.port }), backlog })
      await once(server, 'listening')
      // Out of descriptors, say.
      server.on('error', failed)
      const bound = server.address()
      return { bound: typeof bound === 'object' && bound !== null ? { address: bound.address, port: bound.port } : undefined, close: () => void server.close() }
    },
  }
}
