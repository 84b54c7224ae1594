// One column of the comparison: a relay with its backends, or the backends by themselves.

import { mkdirSync, rmSync } from 'node:fs'
import type { BackendPorts, BackendRole } from './load/backend-protocol.ts'
import { freePort } from './free-port.ts'
import type { Installation, PeerFacts } from './peers/peer.ts'
import { RelayProcess } from './peers/relay-process.ts'
import { routesOf } from './routes.ts'

export interface TargetOptions {
  readonly name: string
  /** Absent: direct. */
  readonly installation?: Installation
  readonly backendPorts: BackendPorts
  /** For the relay's files; made anew at each start. */
  readonly directory: string
  readonly connectionsMax: number
  /** In its configuration. */
  readonly hostnames: number
  /** That the relay is kept on. */
  readonly cores?: readonly number[]
}

export class Target {
  readonly name: string
  readonly #options: TargetOptions
  #relay: RelayProcess | undefined
  #listenPort = 0

  constructor(options: TargetOptions) {
    this.name = options.name
    this.#options = options
  }

  /** A new process, in place of the one before. @throws {RelayStartError} */
  async start(): Promise<void> {
    await this.stop()
    const { name, installation, backendPorts, directory, connectionsMax, hostnames, cores } = this.#options
    if (installation === undefined) return
    rmSync(directory, { recursive: true, force: true })
    mkdirSync(directory, { recursive: true })
    this.#listenPort = await freePort()
    const facts: PeerFacts = {
      directory,
      listenPort: this.#listenPort,
      adminPort: await freePort(),
      connectionsMax,
      routes: routesOf(backendPorts, hostnames),
    }
    this.#relay = await RelayProcess.start(name, installation.launch(facts), { ...facts, ...(cores === undefined ? {} : { cores }) })
  }

  async stop(): Promise<void> {
    await this.#relay?.stop()
    this.#relay = undefined
  }

  get isDirect(): boolean {
    return this.#options.installation === undefined
  }

  /** Whether it can be measured. */
  get isUp(): boolean {
    return this.isDirect || (this.#relay !== undefined && this.#relay.ending === undefined)
  }

  /** How its process ended, although it should run; undefined if all is well. */
  get ending(): string | undefined {
    return this.#relay?.ending
  }

  /** The first of its processes; none for a direct connection. */
  get relayPids(): readonly number[] {
    return this.#relay === undefined ? [] : [this.#relay.pid]
  }

  /** The port that a client connects to. */
  portFor(role: BackendRole): number {
    return this.isDirect ? this.#options.backendPorts[role] : this.#listenPort
  }
}
