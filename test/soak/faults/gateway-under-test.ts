// The gateway's process as the faults see it: its file, its signals, its metrics, and what it uses of the machine.

import { readdir, readFile, rename, rm, writeFile } from 'node:fs/promises'
import { get } from 'node:http'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { freePort } from '../../../bench/free-port.ts'
import { LabProcess, type ExitStatus } from '../../support/lab-process.ts'
import { pssBytes } from '../../../bench/proc.ts'
import { gatewayConfig, type BadFile } from './gateway-config.ts'

const mainFile = fileURLToPath(new URL('../../../src/sluice.js', import.meta.url))
const readyMsMax = 60_000
const reloadMsMax = 30_000
const answerMsMax = 10_000
/** A worker that dies again and again is replaced ever later. */
const restartMsMax = 60_000

export interface GatewaySample {
  readonly atMs: number
  readonly descriptors: number
  readonly threads: number
  readonly rssBytes: number
  readonly pssBytes: number
  readonly openConnections: number
}

export interface GatewayTestOptions {
  readonly directory: string
  readonly driver: string | undefined
  readonly kernelLane: string | undefined
  /** ADDRESS:PORT of a backlog that is full. */
  readonly unresponsiveEndpoint: string
}

export class GatewayUnderTest {
  readonly port: number
  readonly adminUrl: string
  readonly #configFile: string
  readonly #process: LabProcess
  readonly #writeConfig: (absent: ReadonlySet<string>) => Promise<void>

  private constructor(process: LabProcess, { port, adminPort, configFile }: { readonly port: number; readonly adminPort: number; readonly configFile: string }, writeConfig: (absent: ReadonlySet<string>) => Promise<void>) {
    this.#process = process
    this.port = port
    this.adminUrl = `http://127.0.0.1:${adminPort}`
    this.#configFile = configFile
    this.#writeConfig = writeConfig
  }

  static async start({ directory, driver, kernelLane, unresponsiveEndpoint }: GatewayTestOptions): Promise<GatewayUnderTest> {
    const [port, adminPort, configFile] = [await freePort(), await freePort(), join(directory, 'sluice.yaml')]
    let generation = 0
    const writeConfig = async (absent: ReadonlySet<string>): Promise<void> => {
      await writeWhole(configFile, gatewayConfig({ port, adminPort, driver, kernelLane, unresponsiveEndpoint, absent, generation: generation++ }))
    }
    await writeConfig(new Set())
    const process_ = new LabProcess({ name: 'gateway', executable: '/usr/bin/env', arguments_: ['SLUICE_DEBUG=1', process.execPath, mainFile, 'gateway', '--config', configFile], directory })
    const gateway = new GatewayUnderTest(process_, { port, adminPort, configFile }, writeConfig)
    await process_.waitUntil('is ready', readyMsMax, async () => await fetchText(`${gateway.adminUrl}/readyz`).then(() => true, () => false))
    return gateway
  }

  get pid(): number {
    return this.#process.pid
  }

  get exited(): Promise<ExitStatus> {
    return this.#process.exited
  }

  /** Resolves when the new file runs. */
  async reload(absentTenants: ReadonlySet<string>): Promise<void> {
    const before = await this.metric('sluice_snapshot_version')
    await this.#writeConfig(absentTenants)
    this.#process.signal('SIGHUP')
    await this.#process.waitUntil('has reloaded', reloadMsMax, async () => await this.metric('sluice_snapshot_version') > before)
  }

  /**
   * Resolves when it has been looked at.
   * @throws when the running configuration has changed
   */
  async reloadBadly(bad: BadFile): Promise<void> {
    const kept = 'sluice_reloads_total{result="kept"}'
    const [keptBefore, versionBefore] = [await this.metric(kept), await this.metric('sluice_snapshot_version')]
    if (bad.kind === 'no file') await rm(this.#configFile, { force: true })
    else await writeWhole(this.#configFile, bad.text)
    this.#process.signal('SIGHUP')
    await this.#process.waitUntil('has refused the file', reloadMsMax, async () => await this.metric(kept) > keptBefore)
    if (await this.metric('sluice_snapshot_version') !== versionBefore) throw new Error(`the gateway took a bad file: ${JSON.stringify(bad)}`)
  }

  /** Threads that relay; 0 where the driver has none. */
  async workers(): Promise<number> {
    return await this.metric('sluice_workers')
  }

  /** One of them ends as by a bug; resolves when another has taken its place. */
  async crashWorker(): Promise<void> {
    const [restarts, workers] = [await this.metric('sluice_worker_restarts_total'), await this.workers()]
    this.#process.signal('SIGUSR2')
    await this.#process.waitUntil('has replaced a worker', restartMsMax, async () => await this.metric('sluice_worker_restarts_total') > restarts && await this.workers() === workers)
  }

  async sample(): Promise<GatewaySample> {
    const [descriptors, status, openConnections] = await Promise.all([readdir(`/proc/${this.pid}/fd`), readFile(`/proc/${this.pid}/status`, 'utf8'), this.openConnections()])
    const field = (name: string): number => Number(new RegExp(`^${name}:\\s+(\\d+)`, 'm').exec(status)?.[1])
    return { atMs: Date.now(), descriptors: descriptors.length, threads: field('Threads'), rssBytes: field('VmRSS') * 1_024, pssBytes: pssBytes([this.pid]) ?? NaN, openConnections }
  }

  async openConnections(): Promise<number> {
    return await this.metric('sluice_connections_open')
  }

  /** The sum of all series that begin so. */
  async metric(name: string): Promise<number> {
    const text = await fetchText(`${this.adminUrl}/metrics`)
    const series = text.split('\n').filter((line) => line.startsWith(name) && ['{', ' ', ','].includes(line.charAt(name.length)))
    if (series.length === 0) throw new Error(`the gateway has no metric ${name}`)
    return series.reduce((sum, line) => sum + Number(line.slice(line.lastIndexOf(' '))), 0)
  }

  async terminate(timeoutMs: number): Promise<ExitStatus> {
    this.#process.signal('SIGTERM')
    return await this.#process.waitForExit(timeoutMs)
  }

  async kill(): Promise<void> {
    this.#process.signal('SIGKILL')
    await this.#process.exited
  }

  get logPath(): string {
    return this.#process.logPath
  }
}

/** Nobody ever reads half a file. */
async function writeWhole(file: string, text: string): Promise<void> {
  await writeFile(`${file}.new`, text)
  await rename(`${file}.new`, file)
}

/** On a connection of its own, which leaves no descriptor with the gateway. */
async function fetchText(url: string): Promise<string> {
  return await new Promise((resolve, reject) => {
    const request = get(url, { agent: false, timeout: answerMsMax }, (response) => {
      const chunks: Buffer[] = []
      response.on('data', (chunk: Buffer) => chunks.push(chunk))
      response.on('error', reject)
      response.on('end', () => {
        const body = Buffer.concat(chunks).toString()
        if (response.statusCode === 200) resolve(body)
        else reject(new Error(`${url} answered ${response.statusCode}: ${body}`))
      })
    })
    request.on('timeout', () => request.destroy(new Error(`${url} did not answer within ${answerMsMax} ms`)))
    request.on('error', reject)
  })
}
