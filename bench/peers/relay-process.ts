// A relay that the bench runs: its output goes to a file in its own directory, it is waited for until it relays, and it
// ends with the bench in any case. Each has a process group of its own, so that its workers end with it.

import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { closeSync, openSync, readFileSync, writeFileSync } from 'node:fs'
import { connect } from 'node:net'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import type { Launch } from './peer.ts'

/** Some take ten seconds to read 100,000 tenants. */
const readyTimeoutMs = 60_000
const readyPollMs = 20
const stopTimeoutMs = 3_000
const logTailLines = 8

/** A relay that does not start. The message ends with what it said. */
export class RelayStartError extends Error {
  readonly code = 'RELAY_START'
}

export interface LaunchPlace {
  /** For its files and its output; it must be there. */
  readonly directory: string
  /** Ready when it accepts here, unless the launch says otherwise; absent: at once. */
  readonly listenPort?: number
  /** Numbers of those that it is kept on. */
  readonly cores?: readonly number[]
}

export class RelayProcess {
  readonly pid: number
  readonly #child: ChildProcess
  readonly #killGroup: () => void
  readonly #stopSignal: Launch['stopSignal']
  /** Its output, with that of those that were started in the same place before. */
  readonly logFile: string
  #ending: string | undefined

  private constructor(child: ChildProcess, pid: number, { stopSignal, logFile }: { readonly stopSignal: Launch['stopSignal'], readonly logFile: string }) {
    this.#child = child
    this.logFile = logFile
    this.#stopSignal = stopSignal
    this.pid = pid
    this.#killGroup = () => {
      killGroup(pid)
    }
    process.once('exit', this.#killGroup)
    child.once('exit', (code, signal) => {
      this.#ending = code === null ? String(signal) : `exit code ${code}`
    })
  }

  /** @throws {RelayStartError} */
  static async start(name: string, launch: Launch, { directory, listenPort, cores }: LaunchPlace): Promise<RelayProcess> {
    const { executable, arguments_, environment, files, readyUrl } = launch
    for (const [file, text] of Object.entries(files)) writeFileSync(join(directory, file), text)
    const logFile = join(directory, 'output.log')
    const log = openSync(logFile, 'a')
    const [command, ...words] = [...(cores === undefined ? [] : ['taskset', '--cpu-list', cores.join(',')]), executable, ...arguments_]
    const child = spawn(command ?? executable, words, { stdio: ['ignore', log, log], env: { ...ownEnvironment(), ...environment }, detached: true })
    closeSync(log)
    if (child.pid === undefined) {
      const [error] = await once(child, 'error') as [Error]
      throw new RelayStartError(`${name}: ${error.message}`)
    }
    const relay = new RelayProcess(child, child.pid, { stopSignal: launch.stopSignal, logFile })
    const ready = readyUrl !== undefined ? () => answersOk(readyUrl) : listenPort === undefined ? () => true : () => accepts(listenPort)
    const deadlineMs = performance.now() + readyTimeoutMs
    while (!await ready()) {
      const failure = relay.#ending ?? (performance.now() > deadlineMs ? `not ready within ${readyTimeoutMs / 1000} s` : undefined)
      if (failure !== undefined) {
        await relay.stop()
        throw new RelayStartError(`${name} did not start: ${failure}\n${tailOf(logFile)}`)
      }
      await delay(readyPollMs)
    }
    return relay
  }

  /** The last lines of its output. */
  get logTail(): string {
    return tailOf(this.logFile)
  }

  /** How it ended; undefined while it runs. */
  get ending(): string | undefined {
    return this.#ending
  }

  /** Resolves when it is gone, by its own signal or at last by SIGKILL. */
  async stop(): Promise<void> {
    if (this.#ending === undefined) {
      const ended = once(this.#child, 'exit')
      this.#child.kill(this.#stopSignal)
      const timer = setTimeout(this.#killGroup, stopTimeoutMs)
      await ended
      clearTimeout(timer)
    }
    // Workers that have outlived it.
    this.#killGroup()
    process.off('exit', this.#killGroup)
  }
}

function killGroup(pid: number): void {
  try {
    process.kill(-pid, 'SIGKILL')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error
  }
}

/** A SLUICE_… of the terminal would override the configuration that all have in common. */
function ownEnvironment(): NodeJS.ProcessEnv {
  return Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith('SLUICE_')))
}

async function accepts(port: number): Promise<boolean> {
  return await new Promise((resolve) => {
    const socket = connect({ port, host: '127.0.0.1' })
    socket.once('connect', () => {
      socket.resetAndDestroy()
      resolve(true)
    })
    socket.once('error', () => resolve(false))
  })
}

async function answersOk(url: string): Promise<boolean> {
  // While it starts, nobody answers: that is no, not an error.
  return await fetch(url, { signal: AbortSignal.timeout(1000) }).then(({ ok }) => ok, () => false)
}

function tailOf(file: string): string {
  return readFileSync(file, 'utf8').trimEnd().split('\n').slice(-logTailLines).map((line) => `  ${line}`).join('\n')
}
