// An admin node of the lab. Its NodePorts are served by two processes: one has the port of the tenant `alone`, whose API server can be stopped
// without the others, and one has all other ports.

import { request } from 'node:http'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { mkdirSync } from 'node:fs'
import { AF_INET, bind, check, close, listen, SO_REUSEADDR, SOCK_CLOEXEC, SOCK_NONBLOCK, SOCK_STREAM, setIntOption, socket, sockaddrInBytes, SOL_SOCKET } from '../../src/relay/linux/libc.ts'
import { SocketAddressCell } from '../../src/relay/linux/socket-address.ts'
import type { LabProcess } from '../support/lab-process.ts'
import type { ApiServersSpec, Fault } from './api-servers-process.ts'
import { dialFrom } from './client.ts'
import type { LabHost } from './segment.ts'

const processFile = fileURLToPath(new URL('api-servers-process.ts', import.meta.url))
const readyTimeoutMs = 60_000
/** More than a backlog of the smallest size holds. */
const fillers = 4

export interface AdminNodeOptions {
  readonly host: LabHost
  /** A folder of its own is made in it. */
  readonly directory: string
  readonly ports: readonly number[]
  readonly certFile: string
  readonly keyFile: string
}

type Part = 'first' | 'others'

export class AdminNode {
  readonly host: LabHost
  readonly #options: AdminNodeOptions
  readonly #directory: string
  readonly #processes = new Map<Part, LabProcess>()
  /** Of full backlogs, by port. */
  readonly #fds = new Map<number, readonly number[]>()

  private constructor(options: AdminNodeOptions) {
    this.host = options.host
    this.#options = options
    this.#directory = join(options.directory, options.host.name)
    mkdirSync(this.#directory)
  }

  static async start(options: AdminNodeOptions): Promise<AdminNode> {
    const node = new AdminNode(options)
    await node.startProcesses()
    return node
  }

  /** Also after `kill`. */
  async startProcesses(): Promise<void> {
    await Promise.all((['first', 'others'] as const).map(async (part) => {
      const { certFile, keyFile } = this.#options
      const { name, address } = this.host
      const spec: ApiServersSpec = { node: name, address, ports: this.#portsOf(part), certFile, keyFile, control: this.#control(part) }
      const process_ = this.host.run({ name: part, executable: process.execPath, arguments_: [processFile, JSON.stringify(spec)], directory: this.#directory })
      this.#processes.set(part, process_)
      await process_.waitUntil('is ready', readyTimeoutMs, async () => await this.#tell(part, this.#portsOf(part)[0] ?? 0, 'none').then(() => true, () => false))
    }))
  }

  /** SIGSTOP or SIGCONT, of the first port's API server alone, or of all. */
  signal(signal: 'SIGSTOP' | 'SIGCONT', which: 'first' | 'all'): void {
    for (const [part, process_] of this.#processes) if (which === 'all' || which === part) process_.signal(signal)
  }

  /** kill -9 of all. */
  async kill(): Promise<void> {
    await Promise.all([...this.#processes.values()].map(async (process_) => {
      process_.signal('SIGKILL')
      await process_.exited
    }))
  }

  async set(port: number, fault: Fault): Promise<void> {
    for (const fd of this.#fds.get(port) ?? []) close(fd)
    this.#fds.delete(port)
    await this.#tell(port === this.#options.ports[0] ? 'first' : 'others', port, fault)
  }

  /** Somebody listens, and accepts nothing: the backlog is full, and a SYN stays unanswered. Until `set`. */
  async fillBacklog(port: number): Promise<void> {
    await this.set(port, 'closed')
    const cell = new SocketAddressCell()
    const at = { address: this.host.address, port }
    cell.encode(at)
    const listener = this.host.namespace.within(() => check(socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), 'socket'))
    const fds = [listener]
    this.#fds.set(port, fds)
    check(setIntOption(listener, SOL_SOCKET, SO_REUSEADDR, 1), 'setsockopt')
    check(bind(listener, cell.address, sockaddrInBytes), 'bind')
    check(listen(listener, 0), 'listen')
    for (let filler = 0; filler < fillers; filler += 1) fds.push(dialFrom(this.host, { from: { address: this.host.address, port: 0 }, to: at }))
  }

  async stop(): Promise<void> {
    for (const fds of this.#fds.values()) for (const fd of fds) close(fd)
    this.#fds.clear()
    await this.kill()
  }

  async logTail(): Promise<string> {
    return (await Promise.all([...this.#processes.values()].map(async (process_) => await process_.logTail()))).join('\n')
  }

  #portsOf(part: Part): readonly number[] {
    return part === 'first' ? this.#options.ports.slice(0, 1) : this.#options.ports.slice(1)
  }

  #control(part: Part): string {
    return join(this.#directory, `${part}.sock`)
  }

  async #tell(part: Part, port: number, fault: Fault): Promise<void> {
    await new Promise<void>((resolve, reject) => {
      const outgoing = request({ socketPath: this.#control(part), method: 'PUT', path: `/${port}`, agent: false }, (response) => {
        response.resume()
        if (response.statusCode === 204) resolve()
        else reject(new Error(`${this.host.name} has no port ${port}`))
      })
      outgoing.once('error', reject)
      outgoing.end(fault)
    })
  }
}
