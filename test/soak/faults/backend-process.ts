// One backend's process through its lives: started, killed, stopped, continued.

import { fork, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { cpuSeconds } from '../../../bench/proc.ts'
import { childEnvironment } from '../../support/lab-process.ts'
import type { FromBackend, ToLoad } from './facts.ts'
import type { History } from './history.ts'
import { backendAddress, backendPort, narrowBackend } from './topology.ts'

const backendFile = fileURLToPath(new URL('backend.ts', import.meta.url))
const backlog = 1_024
const narrowBacklog = 1

export interface BackendProcessOptions {
  readonly index: number
  readonly directory: string
  readonly history: History
  readonly onMessage: (message: FromBackend) => void
  readonly onUnexpectedExit: (why: string) => void
}

export class BackendProcess {
  readonly index: number
  readonly #options: BackendProcessOptions
  #generation = 0
  #child: ChildProcess | undefined
  #hurried = false
  #openConnections = 0
  #cpuSecondsOfKilled = 0

  constructor(options: BackendProcessOptions) {
    this.index = options.index
    this.#options = options
  }

  /** Of all its lives. */
  get cpuSeconds(): number {
    const pid = this.#child?.pid
    return this.#cpuSecondsOfKilled + (pid === undefined ? 0 : cpuSeconds([pid]))
  }

  /** Resolves when it listens. */
  async start(): Promise<void> {
    const { index, directory, onMessage, onUnexpectedExit } = this.#options
    this.#generation += 1
    const size = index === narrowBackend ? narrowBacklog : backlog
    const args = [backendAddress(index), backendPort, size, index, this.#generation].map(String)
    const child = fork(backendFile, args, { cwd: directory, env: childEnvironment(directory), execArgv: [], stdio: ['ignore', 'ignore', 'inherit', 'ipc'] })
    this.#child = child
    const killWithUs = (): void => void child.kill('SIGKILL')
    process.once('exit', killWithUs)
    child.once('exit', (code, signal) => {
      process.off('exit', killWithUs)
      if (this.#child === child) onUnexpectedExit(`backend ${index} ended with ${signal ?? code}`)
    })
    await new Promise<void>((resolve) => {
      child.on('message', (message: FromBackend) => {
        if (message.from === 'backend-ready') resolve()
        else if (message.from === 'backend-status') this.#openConnections = message.open
        else onMessage(message)
      })
    })
    this.#options.history.restarted(index)
    if (this.#hurried) child.send('hurry' satisfies ToLoad)
  }

  /** Resolves when it is gone. */
  async kill(): Promise<void> {
    const child = this.#child
    if (child === undefined) return
    this.#cpuSecondsOfKilled = this.cpuSeconds
    this.#child = undefined
    this.#options.history.killed({ index: this.index, generation: this.#generation })
    child.kill('SIGKILL')
    await once(child, 'exit')
  }

  stop(): void {
    this.#child?.kill('SIGSTOP')
  }

  continue(): void {
    this.#child?.kill('SIGCONT')
  }

  /** No pauses in what it sends, from now on. */
  hurry(): void {
    this.#hurried = true
    this.#child?.send('hurry' satisfies ToLoad)
  }

  /** As of its last answer; asks for another. */
  get openConnections(): number {
    this.#child?.send('status' satisfies ToLoad)
    return this.#openConnections
  }
}
