// A program that the demo runs beside itself: its output goes to a file, it is asked until it is ready, and it never
// outlives the demo.
//
// Each has a process group of its own: Ctrl-C in the terminal reaches the demo alone, which then ends them in order.

import { type ChildProcess, spawn } from 'node:child_process'
import { closeSync, openSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { setTimeout as delay } from 'node:timers/promises'
import { DemoError } from './demo-error.ts'

const pollIntervalMs = 50
const stopTimeoutMs = 15_000
const logTailLines = 15

export interface ServerProcessOptions {
  /** For messages. */
  readonly name: string
  readonly executable: string
  readonly arguments_: readonly string[]
  readonly env: NodeJS.ProcessEnv
  readonly logFile: string
}

/** A SLUICE_… of the terminal would override what the demo's files say. */
export function withoutOverrides(env: Readonly<Record<string, string | undefined>>): Record<string, string | undefined> {
  return Object.fromEntries(Object.entries(env).filter(([name]) => !name.startsWith('SLUICE_')))
}

export class ServerProcess {
  readonly #name: string
  readonly #logFile: string
  readonly #child: ChildProcess
  readonly #exited: Promise<void>
  #ending: string | undefined

  constructor({ name, executable, arguments_, env, logFile }: ServerProcessOptions) {
    this.#name = name
    this.#logFile = logFile
    const log = openSync(logFile, 'a', 0o600)
    try {
      this.#child = spawn(executable, arguments_, { env, stdio: ['ignore', log, log], detached: true })
    } finally {
      closeSync(log)
    }
    const kill = (): void => void this.#child.kill('SIGKILL')
    process.once('exit', kill)
    this.#exited = new Promise(resolve => {
      const ended = (how: string): void => {
        process.off('exit', kill)
        this.#ending = how
        resolve()
      }
      this.#child.once('error', error => ended(error.message))
      this.#child.once('exit', (code, signal) => ended(code === null ? String(signal) : `exit code ${code}`))
    })
  }

  /** How it ended: `exit code 0`, `SIGKILL`; undefined while it runs. */
  get ending(): string | undefined {
    return this.#ending
  }

  /**
   * Asks again and again until the answer is yes. Aborts with the signal's reason.
   * @throws {DemoError} with the end of the log, when the process ends first or `timeoutMs` has passed
   */
  async waitUntilReady({ timeoutMs, signal }: { timeoutMs: number; signal?: AbortSignal }, ask: () => Promise<boolean>): Promise<void> {
    const deadlineMs = performance.now() + timeoutMs
    while (!await ask()) {
      const failure = this.#ending ?? (performance.now() > deadlineMs ? `not within ${timeoutMs / 1000} s` : undefined)
      if (failure !== undefined) throw new DemoError('not-ready', `${this.#name} did not get ready: ${failure}\n${await this.#logTail()}`)
      await delay(pollIntervalMs, undefined, { signal })
    }
  }

  /** SIGTERM, and SIGKILL when that takes too long. @returns how it ended */
  async stop(): Promise<string> {
    if (this.#ending === undefined) {
      this.#child.kill('SIGTERM')
      const timer = setTimeout(() => this.#child.kill('SIGKILL'), stopTimeoutMs)
      await this.#exited
      clearTimeout(timer)
    }
    return this.#ending ?? 'unknown'
  }

  async #logTail(): Promise<string> {
    const lines = (await readFile(this.#logFile, 'utf8')).trimEnd().split('\n')
    return lines.slice(-logTailLines).map(line => `  ${line}`).join('\n')
  }
}
