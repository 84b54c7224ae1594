// `sluice gateway` as the far end of a tunnel: a store that may be another gateway's too. It is killed, or drains,
// and is started again at the same place.

import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { SocketAddress } from '../../src/core/net/socket-address.ts'
import { formatSocketAddress } from '../../src/core/net/socket-address.ts'
import { freePort } from '../../bench/free-port.ts'
import { LabProcess, type ExitStatus } from '../support/lab-process.ts'
import type { ApiServer } from './api-server.ts'

const mainFile = fileURLToPath(new URL('../../src/sluice.js', import.meta.url))
const readyTimeoutMs = 60_000
const exitTimeoutMs = 60_000

export interface TunnelGatewayOptions {
  /** Names its log and its configuration. */
  readonly name: string
  readonly directory: string
  readonly listen: SocketAddress
  /** Its tenants. */
  readonly tenants: readonly GatewayTenant[]
  /** What the configuration says of tunnel and state. */
  readonly tunnel: string
}

export interface GatewayTenant {
  readonly server: Pick<ApiServer, 'tenant' | 'hostname' | 'address' | 'port'>
  /** The Unix socket by which the API server reaches its nodes. @default there is none */
  readonly egressSocket?: string
}

export class TunnelGateway {
  readonly configFile: string
  readonly listen: SocketAddress
  readonly #options: TunnelGatewayOptions
  #adminPort = 0
  #process: LabProcess | undefined
  #turns = 0

  private constructor(options: TunnelGatewayOptions) {
    this.#options = options
    this.listen = options.listen
    this.configFile = join(options.directory, `${options.name}.yaml`)
  }

  /** Writes its configuration; nothing runs before `start`. */
  static async create(options: TunnelGatewayOptions): Promise<TunnelGateway> {
    const gateway = new TunnelGateway(options)
    await gateway.#writeConfig()
    return gateway
  }

  /**
   * One that drains has its admin address until the end. It drains for so long that its successor has time to start, and its
   * agent to come back, however slow the machine is.
   */
  async #writeConfig(): Promise<void> {
    const { listen, tenants, tunnel } = this.#options
    const egress = tenants.flatMap(({ server: { tenant }, egressSocket }) => egressSocket === undefined ? [] : `  - { tenant: ${tenant}, socket: ${egressSocket} }\n`)
    this.#adminPort = await freePort()
    await writeFile(this.configFile, `listeners: [{ address: "${formatSocketAddress(listen)}" }]
defaults: { timeouts: { drain: 45s } }
tenants:
${tenants.map(({ server }) => `  - name: ${server.tenant}
    hostnames: [${server.hostname}]
    apiServer: { endpoints: ["${formatSocketAddress(server)}"] }
`).join('')}admin: { address: 127.0.0.1:${this.#adminPort} }
${egress.length === 0 ? '' : `egress:\n${egress.join('')}`}${tunnel}`)
  }

  /** Begins it, and waits until it is ready. */
  async start(): Promise<void> {
    const { name, directory } = this.#options
    await this.#writeConfig()
    const process_ = new LabProcess({ name: `${name}-${++this.#turns}`, executable: process.execPath, arguments_: [mainFile, 'gateway', '--config', this.configFile], directory })
    this.#process = process_
    await process_.waitUntil('is ready', readyTimeoutMs, async () =>
      await fetch(this.#adminUrl('/readyz')).then(({ status }) => status === 200, () => false))
  }

  /** SIGSTOP, or SIGCONT: it stands still, and nobody was told. */
  signal(signal: 'SIGSTOP' | 'SIGCONT'): void {
    this.#process?.signal(signal)
  }

  /** kill -9: its sessions are gone, and nobody was told. */
  async kill(): Promise<void> {
    this.#process?.signal('SIGKILL')
    await this.#process?.exited
  }

  /** @returns the value of a metric, over all its labels; 0 where there is none */
  async metric(name: string): Promise<number> {
    const text = await (await fetch(this.#adminUrl('/metrics'))).text()
    let sum = 0
    for (const line of text.split('\n')) if (line.startsWith(`${name} `) || line.startsWith(`${name}{`)) sum += Number(line.split(' ').at(-1))
    return sum
  }

  /**
   * SIGTERM. Resolves when another may be started in its place.
   * @returns how it ends, once its last connection is over
   */
  async drain(): Promise<{ readonly ended: () => Promise<ExitStatus> }> {
    const process_ = this.#process
    if (process_ === undefined) throw new Error(`${this.#options.name}: not started`)
    process_.signal('SIGTERM')
    await process_.waitUntil('has closed its listeners', readyTimeoutMs, async () => (await process_.logTail()).includes('listeners closed'))
    return { ended: async () => await process_.waitForExit(exitTimeoutMs) }
  }

  async stop(): Promise<void> {
    await this.#process?.stop()
  }

  async logTail(): Promise<string> {
    return await this.#process?.logTail() ?? `--- ${this.#options.name}: not started`
  }

  #adminUrl(path: string): string {
    return `http://127.0.0.1:${this.#adminPort}${path}`
  }
}
