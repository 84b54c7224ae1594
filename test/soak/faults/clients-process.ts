// The process that all clients are in.

import { fork, type ChildProcess } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { childEnvironment } from '../../support/lab-process.ts'
import type { ClientFacts, FromClients, ToLoad } from './facts.ts'

const clientsFile = fileURLToPath(new URL('clients.ts', import.meta.url))

export interface ClientsOptions {
  readonly directory: string
  readonly port: number
  readonly seed: number
  readonly rate: number
  readonly connectionsMax: number
  readonly onFacts: (facts: ClientFacts) => void
}

export class ClientsProcess {
  started = 0
  open = 0
  /** Set when the last connection has ended after `finish`, or the process has. */
  state: 'running' | 'done' | 'gone' = 'running'
  readonly #child: ChildProcess

  constructor({ directory, port, seed, rate, connectionsMax, onFacts }: ClientsOptions) {
    this.#child = fork(clientsFile, [port, seed, rate, connectionsMax].map(String), { cwd: directory, env: childEnvironment(directory), execArgv: [], stdio: ['ignore', 'ignore', 'inherit', 'ipc'] })
    this.#child.on('message', (message: FromClients) => {
      switch (message.from) {
        case 'client': onFacts(message); break
        case 'clients-done': this.state = 'done'; this.started = message.started; this.open = 0; break
        case 'clients-status': this.started = message.started; this.open = message.open; break
        default: message satisfies never
      }
    })
    this.#child.once('exit', () => {
      this.state = 'gone'
    })
  }

  get pid(): number {
    const { pid } = this.#child
    if (pid === undefined) throw new Error('the clients’ process did not start')
    return pid
  }

  /** Asks for `started` and `open` anew. */
  askStatus(): void {
    if (this.#child.connected) this.#child.send('status' satisfies ToLoad)
  }

  /** No more connections; those that are open go on without pauses. */
  finish(): void {
    if (this.#child.connected) this.#child.send('hurry' satisfies ToLoad)
  }

  kill(): void {
    this.#child.kill('SIGKILL')
  }
}
