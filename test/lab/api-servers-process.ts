// API servers of one admin node, as a process of the lab: HTTPS on each of its ports, which stand for NodePorts. Each answers
// `/who` with its node and port, `/readyz`, and two streams that go on for ever: `/watch` is silent after its first line, `/ticks` is not.
//
//   node api-servers-process.ts '{"node": "node1", "address": …, "ports": […], "certFile": …, "keyFile": …, "control": "PATH"}'
//
// What is wrong with a port is told by its control socket, `PUT /PORT` with one of the `Fault`s.

import { readFileSync, rmSync } from 'node:fs'
import { createServer as createHttpServer, type IncomingMessage, type ServerResponse } from 'node:http'
import { createServer as createHttpsServer } from 'node:https'
import { createServer, type Server, type Socket } from 'node:net'

export interface ApiServersSpec {
  readonly node: string
  readonly address: string
  readonly ports: readonly number[]
  readonly certFile: string
  readonly keyFile: string
  /** Of a Unix socket. */
  readonly control: string
}

/**
 * `none`; `closed`: nobody listens; `reset`: accepts, and resets at the first byte; `mute`: accepts, and never says anything; `unready`:
 * serves, and its /readyz says no.
 */
export type Fault = 'none' | 'closed' | 'reset' | 'mute' | 'unready'

const tickMs = 100
const spec: ApiServersSpec = JSON.parse(process.argv[2] ?? '')
const tls = createHttpsServer({ cert: readFileSync(spec.certFile), key: readFileSync(spec.keyFile) }, (request, response) => answer(request, response))
// Whoever leaves in the middle leaves.
tls.on('tlsClientError', () => undefined)
tls.requestTimeout = 0

class Port {
  readonly #number: number
  #fault: Fault = 'none'
  #listener: Server | undefined

  constructor(number: number) {
    this.#number = number
  }

  get ready(): boolean {
    return this.#fault === 'none'
  }

  async set(fault: Fault): Promise<void> {
    this.#fault = fault
    if (fault === 'closed') this.#listener = void this.#listener?.close()
    else await this.listen()
  }

  async listen(): Promise<void> {
    if (this.#listener !== undefined) return
    const listener = this.#listener = createServer((socket) => this.#accepted(socket))
    await new Promise<void>((resolve, reject) => {
      listener.once('error', reject)
      listener.listen({ port: this.#number, host: spec.address }, resolve)
    })
  }

  #accepted(socket: Socket): void {
    socket.on('error', () => socket.destroy())
    switch (this.#fault) {
      case 'reset': socket.once('data', () => socket.resetAndDestroy()); break
      case 'mute': socket.pause(); break
      case 'none':
      case 'closed':
      case 'unready': tls.emit('connection', socket); break
      default: this.#fault satisfies never
    }
  }
}

const ports = new Map(spec.ports.map((number) => [number, new Port(number)]))
await Promise.all([...ports.values()].map(async (port) => await port.listen()))
rmSync(spec.control, { force: true })
createHttpServer((request, response) => void control(request, response)).listen(spec.control)

async function control(request: IncomingMessage, response: ServerResponse): Promise<void> {
  let fault = ''
  for await (const chunk of request) fault += String(chunk)
  const port = ports.get(Number(request.url?.slice(1)))
  await port?.set(fault as Fault)
  response.writeHead(port === undefined ? 404 : 204).end()
}

function answer(request: IncomingMessage, response: ServerResponse): void {
  const localPort = request.socket.localPort ?? 0
  request.on('error', () => undefined).resume()
  switch (request.url) {
    case '/readyz':
      response.writeHead(ports.get(localPort)?.ready === true ? 200 : 500).end()
      break
    case '/who':
      response.end(`${spec.node}:${localPort}`)
      break
    case '/watch':
    case '/ticks': {
      response.write(`${spec.node}:${localPort}\n`)
      const ticking = setInterval(() => request.url === '/ticks' && response.write('tick\n'), tickMs)
      response.once('close', () => clearInterval(ticking))
      break
    }
    default: response.writeHead(404).end()
  }
}
