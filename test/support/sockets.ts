// Real sockets on loopback for tests: servers that clean up after themselves, and clients that say how they ended.

import { once } from 'node:events'
import { connect, createServer, type Socket } from 'node:net'
import type { Test } from 'tap'

export interface Backend {
  readonly port: number
  /** Sockets accepted, in order. */
  readonly sockets: Socket[]
  /** The socket accepted as number `index`, once it is there. */
  socket(index: number): Promise<Socket>
  close(): Promise<void>
}

/** A backend that says as much as is taken from it. @returns `stalled`: how many bytes that was, once nobody takes more */
export async function startFlood(t: Test): Promise<Backend & { readonly stalled: () => Promise<number> }> {
  let sent = 0
  const backend = await startBackend(t, (socket) => {
    const more = (): void => {
      while (socket.write(Buffer.alloc(64 * 1024))) sent += 64 * 1024
    }
    socket.on('drain', more)
    more()
  })
  const stalled = async (): Promise<number> => {
    let before = -1
    await until(() => {
      const still = sent === before
      before = sent
      return still && sent > 0
    })
    return sent
  }
  return { ...backend, stalled }
}

/** A TCP server on a port of the system's choice; half-open sockets, so that a FIN says nothing about the other way. */
export async function startBackend(t: Test, onSocket: (socket: Socket) => void = () => undefined): Promise<Backend> {
  const sockets: Socket[] = []
  const waiting: (() => void)[] = []
  const server = createServer({ allowHalfOpen: true, noDelay: true }, (socket) => {
    socket.on('error', () => undefined)
    sockets.push(socket)
    onSocket(socket)
    for (const wake of waiting.splice(0)) wake()
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const bound = server.address()
  if (bound === null || typeof bound === 'string') throw new Error('no port')
  const close = async (): Promise<void> => {
    for (const socket of sockets) socket.destroy()
    if (!server.listening) return
    await new Promise((resolve) => {
      server.close(resolve)
    })
  }
  t.teardown(close)
  return {
    port: bound.port,
    sockets,
    close,
    socket: async (index) => {
      for (;;) {
        const socket = sockets[index]
        if (socket !== undefined) return socket
        await new Promise<void>((resolve) => {
          waiting.push(resolve)
        })
      }
    },
  }
}

/** A backend that returns what it is sent, FIN included. */
export async function startEcho(t: Test): Promise<Backend> {
  return await startBackend(t, (socket) => socket.pipe(socket))
}

/** A connected client whose first bytes are sent; destroyed at the test's end. */
export async function dial(t: Test, port: number, firstBytes?: Uint8Array, host = '127.0.0.1'): Promise<Socket> {
  const socket = connect({ port, host, allowHalfOpen: true, noDelay: true })
  t.teardown(() => {
    socket.destroy()
  })
  socket.on('error', () => undefined)
  await once(socket, 'connect')
  if (firstBytes !== undefined) socket.write(firstBytes)
  return socket
}

export interface Ending {
  readonly bytes: Buffer
  /** `fin`, or the code of the error that ended it: ECONNRESET. */
  readonly how: string
}

/** Reads to the end, whichever it is; it may have come before the call. */
export async function readToEnd(socket: Socket): Promise<Ending> {
  const chunks: Buffer[] = []
  return await new Promise((resolve) => {
    const end = (how: string): void => resolve({ bytes: Buffer.concat(chunks), how })
    const errored: NodeJS.ErrnoException | null = socket.errored
    if (errored !== null) return end(errored.code ?? errored.message)
    if (socket.readableEnded) return end('fin')
    if (socket.destroyed) return end('closed')
    socket.on('data', (chunk: Buffer) => chunks.push(chunk))
    socket.once('end', () => end('fin'))
    socket.once('error', (error: NodeJS.ErrnoException) => end(error.code ?? error.message))
    socket.once('close', () => end('closed'))
    socket.resume()
  })
}

/** Reads exactly so many bytes; the rest stays in the socket. */
export async function readBytes(socket: Socket, byteLength: number): Promise<Buffer> {
  const chunks: Buffer[] = []
  let haveBytes = 0
  while (haveBytes < byteLength) {
    const chunk: Buffer | null = socket.read(Math.min(byteLength - haveBytes, socket.readableLength || 1))
    if (chunk !== null) {
      chunks.push(chunk)
      haveBytes += chunk.byteLength
    } else if (socket.readableEnded || socket.destroyed) {
      throw new Error(`ended after ${haveBytes} of ${byteLength} bytes`)
    } else {
      await new Promise<void>((resolve) => {
        const wake = (): void => {
          for (const event of ['readable', 'end', 'close']) socket.off(event, wake)
          resolve()
        }
        for (const event of ['readable', 'end', 'close']) socket.on(event, wake)
      })
    }
  }
  return Buffer.concat(chunks)
}

/** Waits until `condition` holds; the test's own timeout is the bound. */
export async function until(condition: () => boolean): Promise<void> {
  while (!condition()) {
    await new Promise((resolve) => {
      setTimeout(resolve, 5)
    })
  }
}
