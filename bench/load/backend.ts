// The servers behind every relay, in a process of their own:
//
//   echo     returns what it is sent
//   source   after the first bytes (the hello) sends without end
//   sink     reads without end
//
// Each target has a set of its own: what one relay leaves behind (TIME_WAIT on its upstream connections) is not in the
// way of the next. The parent asks over IPC; when the parent is gone, so is this process.

import { once } from 'node:events'
import { createServer, type Socket } from 'node:net'
import type { BackendCounters, BackendPorts, BackendReply, BackendRequest } from './backend-protocol.ts'

const listenBacklog = 4096
const chunk = Buffer.alloc(256 * 1024, 0x53)
const counters = { connections: 0, open: 0, receivedBytes: 0, sentBytes: 0 }

function serveEcho(socket: Socket): void {
  socket.on('data', (bytes: Buffer) => {
    counters.receivedBytes += bytes.length
    counters.sentBytes += bytes.length
    // A client has one request under way, so what the system does not take at once is bounded by it.
    socket.write(bytes)
  })
}

function serveSource(socket: Socket): void {
  const fill = (): void => {
    let taken = true
    while (taken && !socket.destroyed) {
      taken = socket.write(chunk)
      counters.sentBytes += chunk.length
    }
  }
  socket.once('data', fill)
  socket.on('drain', fill)
  socket.on('data', (bytes: Buffer) => {
    counters.receivedBytes += bytes.length
  })
}

function serveSink(socket: Socket): void {
  socket.on('data', (bytes: Buffer) => {
    counters.receivedBytes += bytes.length
  })
}

async function listen(serve: (socket: Socket) => void, port: number): Promise<number> {
  const server = createServer({ noDelay: true }, (socket) => {
    counters.connections += 1
    counters.open += 1
    // Clients and relays reset connections as a matter of course; the close event follows.
    socket.on('error', () => undefined)
    socket.once('close', () => {
      counters.open -= 1
    })
    serve(socket)
  })
  // Several backend processes can share a port.
  server.listen({ host: '127.0.0.1', port, backlog: listenBacklog, reusePort: true })
  await once(server, 'listening')
  const bound = server.address()
  if (bound === null || typeof bound === 'string') throw new Error('bug: a TCP server has no port')
  return bound.port
}

function readCounters(): BackendCounters {
  const { user, system } = process.cpuUsage()
  return { ...counters, atMs: performance.now(), cpuMs: (user + system) / 1000 }
}

async function listenSet(ports: BackendPorts): Promise<BackendPorts> {
  return {
    echo: await listen(serveEcho, ports.echo),
    source: await listen(serveSource, ports.source),
    sink: await listen(serveSink, ports.sink),
  }
}

async function answer(request: BackendRequest): Promise<BackendReply> {
  switch (request.kind) {
    case 'listen':
      return { kind: 'listening', sets: await Promise.all(request.sets.map(listenSet)) }
    case 'counters':
      return { kind: 'counters', counters: readCounters() }
    default: {
      const never: never = request
      throw new Error(`bug: ${JSON.stringify(never)}`)
    }
  }
}

process.on('message', (request: BackendRequest) => {
  // A rejection ends the process, and the parent says so.
  void answer(request).then((reply) => process.send?.(reply))
})
// Ctrl-C is for the parent, which then closes the channel.
process.on('SIGINT', () => undefined)
process.once('disconnect', () => process.exit(0))
