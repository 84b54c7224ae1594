// A gateway of the lab, on a host of its own: its configuration, its process, its log and its admin address.

import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { get } from 'node:http'
import { Socket } from 'node:net'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { LabProcess } from '../support/lab-process.ts'
import { until } from '../support/sockets.ts'
import { dialFrom } from './client.ts'
import type { LabHost } from './segment.ts'

const mainFile = fileURLToPath(new URL('../../src/sluice.js', import.meta.url))
const readyTimeoutMs = 60_000
const adminPatienceMs = 2_000
const admin = { address: '127.0.0.1', port: 9443 } as const
export const gatewayPort = 6443

const relays = {
  'linux': '{ driver: linux, workers: 1, warmUp: 0s }',
  'kernel lane': '{ driver: linux, workers: 1, warmUp: 0s, kernelLane: always }',
  'node': '{ driver: node }',
} as const

export interface GatewayOptions {
  readonly host: LabHost
  /** A folder of its own is made in it. */
  readonly directory: string
  readonly relay: keyof typeof relays
  /** What the file says beside listeners, relay and admin. */
  readonly config: string
}

/** A line of the access log, as far as tests look at it. */
export interface AccessLine {
  readonly client: string
  readonly tenant?: string
  readonly endpoint?: string
  readonly attempts: number
  readonly outcome: string
  readonly reason: string
  readonly detail?: string
  readonly totalMs: number
}

export class LabGateway {
  readonly host: LabHost
  readonly relay: GatewayOptions['relay']
  readonly #directory: string
  readonly #configFile: string
  #process: LabProcess | undefined

  private constructor({ host, directory, relay, config }: GatewayOptions) {
    this.host = host
    this.relay = relay
    this.#directory = join(directory, host.name)
    this.#configFile = join(this.#directory, 'sluice.yaml')
    mkdirSync(this.#directory)
    writeFileSync(this.#configFile, `listeners: [{ address: 0.0.0.0:${gatewayPort} }]
relay: ${relays[relay]}
admin: { address: ${admin.address}:${admin.port} }
${config}`)
  }

  static async start(options: GatewayOptions): Promise<LabGateway> {
    const gateway = new LabGateway(options)
    await gateway.start()
    return gateway
  }

  /** Also after `kill`. */
  async start(): Promise<void> {
    const started = this.#process = this.host.run({ name: 'gateway', executable: process.execPath, arguments_: [mainFile, 'gateway', '--config', this.#configFile], directory: this.#directory })
    await started.waitUntil('is ready', readyTimeoutMs, async () => await this.ready())
  }

  get at(): { readonly address: string; readonly port: number } {
    return { address: this.host.address, port: gatewayPort }
  }

  /** What `/readyz` says; false also where nothing does within a balancer's time. */
  async ready(): Promise<boolean> {
    return await this.ask('/readyz').then(({ status }) => status === 200, () => false)
  }

  /** GET at its admin address, on its own host. */
  async ask(path: string): Promise<{ readonly status: number; readonly body: string }> {
    return await new Promise((resolve, reject) => {
      const outgoing = get({
        path, host: admin.address,
        createConnection: () => new Socket({ fd: dialFrom(this.host, { from: { address: admin.address, port: 0 }, to: admin }) }),
      }, (incoming) => {
        let body = ''
        incoming.setEncoding('utf8').on('data', (chunk: string) => {
          body += chunk
        })
        incoming.once('end', () => resolve({ status: incoming.statusCode ?? 0, body }))
        incoming.once('error', reject)
      })
      outgoing.setTimeout(adminPatienceMs, () => outgoing.destroy(new Error(`${this.host.name}: no answer within ${adminPatienceMs} ms`)))
      outgoing.once('error', reject)
    })
  }

  /** How many endpoints are down, of all tenants. */
  async endpointsDown(): Promise<number> {
    return Number(/^sluice_endpoints\{state="down"\} (\d+)$/m.exec((await this.ask('/metrics')).body)?.[1] ?? NaN)
  }

  signal(signal: 'SIGSTOP' | 'SIGCONT'): void {
    this.#process?.signal(signal)
  }

  /** kill -9. */
  async kill(): Promise<void> {
    this.#process?.signal('SIGKILL')
    await this.#process?.exited
  }

  /** What the access log has on that client, once it has. */
  async lineOf(client: string): Promise<AccessLine> {
    let line: AccessLine | undefined
    await until(() => (line = this.knownLineOf(client)) !== undefined)
    if (line === undefined) throw new Error('unreachable')
    return line
  }

  /** Undefined where it is not there, or not yet. */
  knownLineOf(client: string): AccessLine | undefined {
    return this.#lines().find((each) => each.client === client)
  }

  async logTail(): Promise<string> {
    return await this.#process?.logTail() ?? ''
  }

  #lines(): readonly AccessLine[] {
    const text = readFileSync(join(this.#directory, 'gateway.log'), 'utf8')
    // The last line may not be whole yet.
    return text.slice(0, text.lastIndexOf('\n') + 1).split('\n').filter((line) => line.includes('"msg":"connection"')).map((line): AccessLine => JSON.parse(line))
  }
}
