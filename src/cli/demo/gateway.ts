// The demo's gateway: `sluice gateway` as a process of its own, as it runs in production, seen only through its admin
// address, its log and its exit code.

import { readFile, rename, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { DemoError } from './demo-error.ts'
import { loopback, type DemoPorts } from './layout.ts'
import { ServerProcess, withoutOverrides } from './server-process.ts'

const mainFile = fileURLToPath(new URL('../../sluice.js', import.meta.url))
const readyTimeoutMs = 20_000
/** A changed file is looked at once a second, and must have been at rest for one. */
const reloadTimeoutMs = 15_000
const adminTimeoutMs = 5_000
const pollIntervalMs = 50
/** A connection's line is written at its end, which the client may see first. */
const logLineTimeoutMs = 2_000

export class DemoGateway {
  readonly configFile: string
  readonly logFile: string
  readonly port: number
  readonly #adminUrl: string
  readonly #process: ServerProcess

  private constructor({ configFile, logFile, ports, process: process_ }: {
    configFile: string
    logFile: string
    ports: DemoPorts
    process: ServerProcess
  }) {
    this.configFile = configFile
    this.logFile = logFile
    this.port = ports.gateway
    this.#adminUrl = `http://${loopback}:${ports.admin}`
    this.#process = process_
  }

  static async start({ directory, config, ports, env, signal }: {
    directory: string
    config: string
    ports: DemoPorts
    env: Readonly<Record<string, string | undefined>>
    signal: AbortSignal
  }): Promise<DemoGateway> {
    const configFile = join(directory, 'sluice.yaml')
    const logFile = join(directory, 'gateway.log')
    await writeFile(configFile, config, { mode: 0o600 })
    const process_ = new ServerProcess({
      name: 'sluice gateway',
      executable: process.execPath,
      arguments_: [mainFile, 'gateway', '--config', configFile],
      env: withoutOverrides(env),
      logFile,
    })
    const gateway = new DemoGateway({ configFile, logFile, ports, process: process_ })
    try {
      await process_.waitUntilReady({ timeoutMs: readyTimeoutMs, signal }, async () =>
        await gateway.#admin('/readyz').then(({ ok }) => ok, () => false))
    } catch (error) {
      await process_.stop()
      throw error
    }
    return gateway
  }

  /** How it ended; undefined while it runs. */
  get ending(): string | undefined {
    return this.#process.ending
  }

  get adminUrl(): string {
    return this.#adminUrl
  }

  async config(): Promise<string> {
    return await readFile(this.configFile, 'utf8')
  }

  /** Changes the file, as an editor does, and says nothing. @returns the version of the snapshot that came of it */
  async saveAndAwaitReload(config: string, signal: AbortSignal): Promise<number> {
    const before = await this.snapshotVersion()
    await this.#save(config)
    return await this.#until('did not reload its changed file', signal, async () => {
      const now = await this.snapshotVersion()
      return now > before ? now : undefined
    })
  }

  /** Changes the file to one with a mistake. @returns what the gateway says about it, once it has seen it */
  async saveAndAwaitComplaint(config: string, signal: AbortSignal): Promise<string> {
    const from = (await readFile(this.logFile, 'utf8')).length
    await this.#save(config)
    return await this.#until('said nothing about its wrong file', signal, async () => {
      for (const line of completeLines((await readFile(this.logFile, 'utf8')).slice(from))) {
        const complaint = complaintOf(line)
        if (complaint !== undefined) return complaint
      }
      return undefined
    })
  }

  async snapshotVersion(): Promise<number> {
    try {
      const snapshot: { version: number } = JSON.parse(await (await this.#admin('/v1/snapshot')).text())
      return snapshot.version
    } catch (error) {
      throw new DemoError('gateway-gone', `the gateway does not answer on ${this.#adminUrl} (${this.ending ?? String(error)}); its log is ${this.logFile}`)
    }
  }

  /** The access-log line of the connection that came from this port of ours. */
  async accessLogLine(clientPort: number): Promise<AccessLogLine | undefined> {
    const deadlineMs = performance.now() + logLineTimeoutMs
    while (performance.now() < deadlineMs) {
      for (const line of completeLines(await readFile(this.logFile, 'utf8')).toReversed()) {
        if (!line.includes(String(clientPort))) continue
        const fields = accessLogLineOf(line)
        if (fields?.client === `${loopback}:${clientPort}`) return fields
      }
      await delay(pollIntervalMs)
    }
    return undefined
  }

  /** SIGTERM. @returns how it ended: `exit code 0` when it has drained */
  async stop(): Promise<string> {
    return await this.#process.stop()
  }

  async #admin(path: string): Promise<Response> {
    return await fetch(`${this.#adminUrl}${path}`, { signal: AbortSignal.timeout(adminTimeoutMs) })
  }

  /** In one step: a half-written file is no file. */
  async #save(config: string): Promise<void> {
    await writeFile(`${this.configFile}.new`, config, { mode: 0o600 })
    await rename(`${this.configFile}.new`, this.configFile)
  }

  async #until<T>(failure: string, signal: AbortSignal, ask: () => Promise<T | undefined>): Promise<T> {
    const deadlineMs = performance.now() + reloadTimeoutMs
    for (;;) {
      const answer = await ask()
      if (answer !== undefined) return answer
      if (performance.now() > deadlineMs) {
        throw new DemoError('not-reloaded', `the gateway ${failure} within ${reloadTimeoutMs / 1000} s; its log is ${this.logFile}`)
      }
      await delay(pollIntervalMs, undefined, { signal })
    }
  }
}

/** Of the gateway's log, what the demo shows. */
export interface AccessLogLine {
  readonly client: string
  readonly reason: string
  readonly endpoint?: string
  readonly attempts: number
}

/** The last one may still be being written; what is no JSON is a warning of Node's own. */
function completeLines(log: string): string[] {
  return log.split('\n').slice(0, -1).filter(line => line.startsWith('{'))
}

function accessLogLineOf(line: string): AccessLogLine | undefined {
  const fields: Partial<AccessLogLine> = JSON.parse(line)
  const { client, reason, endpoint, attempts } = fields
  if (client === undefined || reason === undefined || attempts === undefined) return undefined
  return { client, reason, attempts, ...(endpoint === undefined ? {} : { endpoint }) }
}

function complaintOf(line: string): string | undefined {
  const fields: { problems?: readonly string[] } = JSON.parse(line)
  return fields.problems?.[0]
}
