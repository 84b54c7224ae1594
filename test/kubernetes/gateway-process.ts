// The real gateway as a process of its own, with a configuration file that tests rewrite. What it does is seen from
// outside only: its admin address, its exit code, and what its clients get.

import { once } from 'node:events'
import { readFile, rename, writeFile } from 'node:fs/promises'
import { connect } from 'node:net'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { tunnelConfig } from '../../src/cli/demo/tunnel.ts'
import type { RelayConfig } from '../../src/config/config.ts'
import { freePort } from '../../bench/free-port.ts'
import { LabProcess, type ExitStatus } from '../support/lab-process.ts'

const mainFile = fileURLToPath(new URL('../../src/sluice.js', import.meta.url))
const readyTimeoutMs = 60_000
/** A changed file is looked at once a second, and must have been at rest for one. */
const reloadTimeoutMs = 30_000
/** Far above the time for which a draining gateway goes on accepting. */
const drainGraceTimeoutMs = 60_000
const exitTimeoutMs = 30_000

export type Driver = Exclude<RelayConfig['driver'], 'auto'>

export interface Route {
  readonly tenant: string
  readonly hostname: string
  /** Of the API server. */
  readonly port: number
  /** Where it is. @default 127.0.0.1 */
  readonly addresses?: readonly string[]
}

export interface GatewayConfig {
  readonly routes: readonly Route[]
  /** A setting of every tenant, so that each value makes another file. @default '1h' */
  readonly idleTimeout?: string
  /** What `health` is, in YAML. @default what it is by default */
  readonly health?: string
}

/** A line of the access log, as far as tests look at it. */
export interface AccessLine {
  readonly acceptedAt: string
  readonly endpoint?: string
  readonly attempts: number
  readonly outcome: string
}

/** As editors and mounted ConfigMaps do it, or as a shell's redirection does. */
export type Rewrite = 'renamed' | 'overwritten'

export class GatewayProcess {
  readonly port: number
  readonly #adminPort: number
  readonly #driver: Driver
  /** What the file says of the tunnel. */
  readonly #tunnel: string
  readonly configFile: string
  readonly #process: LabProcess

  private constructor(fields: { port: number; adminPort: number; driver: Driver; tunnel: string; configFile: string; process: LabProcess }) {
    this.port = fields.port
    this.#adminPort = fields.adminPort
    this.#driver = fields.driver
    this.#tunnel = fields.tunnel
    this.configFile = fields.configFile
    this.#process = fields.process
  }

  static async start({ directory, driver, config }: { directory: string; driver: Driver; config: GatewayConfig }): Promise<GatewayProcess> {
    const [port, adminPort] = [await freePort(), await freePort()]
    const configFile = join(directory, 'sluice.yaml')
    const tunnel = await tunnelConfig(directory)
    await writeFile(configFile, configText(config, { port, adminPort, driver, tunnel }))
    const process_ = new LabProcess({
      name: 'gateway',
      executable: process.execPath,
      arguments_: [mainFile, 'gateway', '--config', configFile],
      directory,
    })
    const gateway = new GatewayProcess({ port, adminPort, driver, tunnel, configFile, process: process_ })
    try {
      await process_.waitUntil('is ready', readyTimeoutMs, async () => await gateway.ready())
    } catch (error) {
      await process_.stop()
      throw error
    }
    return gateway
  }

  /** The end of a drain whose last connection is over. */
  async waitForExit(): Promise<ExitStatus> {
    return await this.#process.waitForExit(exitTimeoutMs)
  }

  /** What `/readyz` says; false also when nothing answers. */
  async ready(): Promise<boolean> {
    return await fetch(this.#adminUrl('/readyz')).then(({ status }) => status === 200, () => false)
  }

  async snapshotVersion(): Promise<number> {
    const snapshot: unknown = await (await fetch(this.#adminUrl('/v1/snapshot'))).json()
    if (typeof snapshot !== 'object' || snapshot === null || !('version' in snapshot) || typeof snapshot.version !== 'number') {
      throw new Error(`/v1/snapshot has no version: ${JSON.stringify(snapshot)}`)
    }
    return snapshot.version
  }

  /** How many endpoints are down. */
  async endpointsDown(): Promise<number> {
    return Number(/^sluice_endpoints\{state="down"\} (\d+)$/m.exec(await (await fetch(this.#adminUrl('/metrics'))).text())?.[1] ?? NaN)
  }

  /** What the access log has of connections that were accepted since then and have ended. */
  async connectionsSince(epochMs: number): Promise<readonly AccessLine[]> {
    const lines = (await readFile(this.#process.logPath, 'utf8')).split('\n').filter(line => line.includes('"msg":"connection"')).map((line): AccessLine => JSON.parse(line))
    return lines.filter(({ acceptedAt }) => Date.parse(acceptedAt) >= epochMs)
  }

  /** Of the admin API. @returns the answer's status */
  async admin(method: 'POST' | 'DELETE', path: string, body: object = {}): Promise<number> {
    return (await fetch(this.#adminUrl(path), { method, ...(method === 'POST' ? { body: JSON.stringify(body), headers: { 'content-type': 'application/json' } } : {}) })).status
  }

  /** SIGHUP with the file as it is. Resolves when a newer snapshot is published. */
  async reload(): Promise<void> {
    await this.#newSnapshot('SIGHUP', async () => this.#process.signal('SIGHUP'))
  }

  /** Changes the file and says nothing. Resolves when the gateway has noticed, and published a newer snapshot. */
  async rewrite(rewrite: Rewrite, config: GatewayConfig): Promise<void> {
    const text = configText(config, { port: this.port, adminPort: this.#adminPort, driver: this.#driver, tunnel: this.#tunnel })
    await this.#newSnapshot(`a ${rewrite} file`, async () => {
      const written = rewrite === 'renamed' ? `${this.configFile}.new` : this.configFile
      await writeFile(written, text)
      if (rewrite === 'renamed') await rename(written, this.configFile)
    })
  }

  async #newSnapshot(why: string, trigger: () => Promise<void>): Promise<void> {
    const before = await this.snapshotVersion()
    await trigger()
    await this.#process.waitUntil(`has reloaded after ${why}`, reloadTimeoutMs, async () => await this.snapshotVersion() > before)
  }

  /** SIGTERM. Resolves when `/readyz` says no: from then on load balancers are meant to leave, and for a time may still come. */
  async beginDrain(): Promise<void> {
    this.#process.signal('SIGTERM')
    await this.#process.waitUntil('is not ready', drainGraceTimeoutMs, async () => !await this.ready())
  }

  /** Resolves when the system refuses new connections. */
  async listenerClosed(): Promise<void> {
    await this.#process.waitUntil('has closed its listener', drainGraceTimeoutMs, async () => !await accepts(this.port))
  }

  async stop(): Promise<void> {
    await this.#process.stop()
  }

  async logTail(): Promise<string> {
    return await this.#process.logTail()
  }

  #adminUrl(path: string): string {
    return `http://127.0.0.1:${this.#adminPort}${path}`
  }
}

/** What stays the same over a gateway's files. */
interface GatewayPlace {
  readonly port: number
  readonly adminPort: number
  readonly driver: Driver
  readonly tunnel: string
}

/** `SLUICE_LAB_KERNEL_LANE=always npm run test:kubernetes` has the Linux driver's bytes go through the kernel lane. */
const kernelLane = process.env.SLUICE_LAB_KERNEL_LANE ?? 'off'

function configText({ routes, idleTimeout = '1h', health = '{}' }: GatewayConfig, { port, adminPort, driver, tunnel }: GatewayPlace): string {
  return `listeners:
  - address: 127.0.0.1:${port}
relay: { driver: ${driver}, kernelLane: ${driver === 'linux' ? kernelLane : 'off'} }
defaults:
  timeouts: { idle: ${idleTimeout}, drain: 2m }
  health: ${health}
tenants:
${routes.map(({ tenant, hostname, port: endpointPort, addresses = ['127.0.0.1'] }) => `  - name: ${tenant}
    hostnames: [${hostname}]
    apiServer: { endpoints: [${addresses.map(address => `${address}:${endpointPort}`).join(', ')}] }
`).join('')}admin: { address: 127.0.0.1:${adminPort} }
${tunnel}`
}

async function accepts(port: number): Promise<boolean> {
  const socket = connect(port, '127.0.0.1')
  try {
    await once(socket, 'connect')
    return true
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ECONNREFUSED') return false
    throw error
  } finally {
    socket.destroy()
  }
}
