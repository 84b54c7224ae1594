// A child process of a test: its output goes to a file, its end is awaited or noticed, and it never outlives the tests: on
// Linux not even when these are killed with SIGKILL, by prctl(2)'s parent-death signal.
//
// Children get an environment of their own rather than the test runner's, whose NODE_OPTIONS and proxy settings would
// change what is tested.

import { type ChildProcess, spawn } from 'node:child_process'
import { closeSync, openSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'

const stopTimeoutMs = 15_000
const pollIntervalMs = 50
const logTailLines = 40
/** Before a command; it becomes the command, and keeps its process number. */
const endsWithParent = process.platform === 'linux' ? ['setpriv', '--pdeathsig', 'KILL'] : []

const running = new Set<ChildProcess>()
process.once('exit', () => {
  for (const child of running) child.kill('SIGKILL')
})

export interface LabProcessOptions {
  /** Names the log file. */
  readonly name: string
  readonly executable: string
  readonly arguments_: readonly string[]
  /** Home of the child and of its log. */
  readonly directory: string
}

export interface ExitStatus {
  /** Absent where a signal ended it. */
  readonly code: number | null
  readonly signal: NodeJS.Signals | null
}

export class LabProcess {
  readonly name: string
  readonly logPath: string
  readonly exited: Promise<ExitStatus>
  #status: ExitStatus | undefined
  readonly #child: ChildProcess

  /** The log of an earlier process of this name is appended to. */
  constructor({ name, executable, arguments_, directory }: LabProcessOptions) {
    this.name = name
    this.logPath = join(directory, `${name}.log`)
    const log = openSync(this.logPath, 'a')
    try {
      const [command = executable, ...rest] = [...endsWithParent, executable, ...arguments_]
      this.#child = spawn(command, rest, {
        cwd: directory,
        env: childEnvironment(directory),
        stdio: ['ignore', log, log],
      })
    } finally {
      closeSync(log)
    }
    running.add(this.#child)
    this.exited = new Promise((resolve, reject) => {
      this.#child.once('error', reject)
      this.#child.once('exit', (code, signal) => {
        running.delete(this.#child)
        this.#status = { code, signal }
        resolve(this.#status)
      })
    })
  }

  get pid(): number {
    const { pid } = this.#child
    if (pid === undefined) throw new Error(`${this.name} did not start`)
    return pid
  }

  signal(signal: NodeJS.Signals): void {
    this.#child.kill(signal)
  }

  async stop(): Promise<void> {
    if (this.#status !== undefined) return
    this.#child.kill('SIGTERM')
    const abort = new AbortController()
    await Promise.race([this.exited, delay(stopTimeoutMs, undefined, { signal: abort.signal })])
    abort.abort()
    if (this.#status === undefined) this.#child.kill('SIGKILL')
    await this.exited
  }

  /**
   * Asks again and again until the answer is yes.
   *
   * @throws with the end of the log, when the process ends first, or `timeoutMs` has passed
   */
  async waitUntil(what: string, timeoutMs: number, ask: () => Promise<boolean>): Promise<void> {
    const deadlineMs = Date.now() + timeoutMs
    while (!await ask()) {
      const failure = this.#status !== undefined
        ? `ended with ${JSON.stringify(this.#status)}`
        : Date.now() > deadlineMs ? `not within ${timeoutMs} ms` : undefined
      if (failure !== undefined) throw new Error(`${this.name} ${what}: ${failure}\n${await this.logTail()}`)
      await delay(pollIntervalMs)
    }
  }

  /** @throws with the end of the log, when it still runs after `timeoutMs` */
  async waitForExit(timeoutMs: number): Promise<ExitStatus> {
    const abort = new AbortController()
    try {
      const status = await Promise.race([this.exited, delay(timeoutMs, undefined, { signal: abort.signal })])
      if (status === undefined) throw new Error(`${this.name} still runs after ${timeoutMs} ms\n${await this.logTail()}`)
      return status
    } finally {
      abort.abort()
    }
  }

  async logTail(): Promise<string> {
    const lines = (await readFile(this.logPath, 'utf8')).trimEnd().split('\n')
    return [`--- ${this.name}`, ...lines.slice(-logTailLines)].join('\n')
  }
}

/** @param home no file of the user's own is read or written */
export function childEnvironment(home: string): NodeJS.ProcessEnv {
  return { PATH: process.env.PATH, HOME: home }
}
