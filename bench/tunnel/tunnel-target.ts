// One column of the comparison: both ends of a tunnel as processes, a delaying relay between them if asked for.

import { once } from 'node:events'
import { mkdirSync, rmSync } from 'node:fs'
import { connect } from 'node:net'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { connectFault, connectHead } from '../load/target-address.ts'
import { greetingOf, type greetings } from '../load/greeting.ts'
import type { LoadTarget } from '../load/load.ts'
import { RelayProcess, RelayStartError } from '../peers/relay-process.ts'
import { freePort } from '../free-port.ts'
import { DelayRelay } from './delay.ts'
import type { TunnelFacts, TunnelInstallation } from './peers/tunnel-peer.ts'

/** For the link between two ends that run, and the first stream through it. */
const linkTimeoutMs = 20_000
const linkPollMs = 50
const otherPortCount = 5

export interface TunnelTargetOptions {
  readonly name: string
  readonly installation: TunnelInstallation
  /** Of the backend that is chosen by greeting. */
  readonly upstreamAddress: string
  readonly upstreamPort: number
  /** For the ends' files; made anew at each start. */
  readonly directory: string
  readonly certificate: TunnelFacts['certificate']
}

export class TunnelTarget {
  readonly name: string
  readonly #options: TunnelTargetOptions
  #ends: readonly RelayProcess[] = []
  #delay: DelayRelay | undefined
  #entry: Omit<LoadTarget, 'hello'> = { port: 0 }
  #roundTripMs = 0

  constructor(options: TunnelTargetOptions) {
    this.name = options.name
    this.#options = options
  }

  /**
   * New processes, in place of those before; resolves when a stream has had its echo.
   * @param roundTripMs of the link, beside what loopback takes
   * @throws {RelayStartError}
   */
  async start(roundTripMs = 0): Promise<void> {
    await this.stop()
    this.#roundTripMs = roundTripMs
    const { name, installation, directory, upstreamAddress, upstreamPort, certificate } = this.#options
    const [serverDirectory, clientDirectory] = [join(directory, 'server'), join(directory, 'client')]
    rmSync(directory, { recursive: true, force: true })
    for (const each of [serverDirectory, clientDirectory]) mkdirSync(each, { recursive: true })
    const [linkPort, entryPort] = [await freePort(), await freePort()]
    const otherPorts: number[] = []
    while (otherPorts.length < otherPortCount) otherPorts.push(await freePort())
    if (roundTripMs > 0) this.#delay = await DelayRelay.start({ targetPort: linkPort, delayMs: roundTripMs / 2 })
    const launch = installation.launch({ serverDirectory, clientDirectory, upstreamAddress, upstreamPort, entryPort, linkPort, dialPort: this.#delay?.port ?? linkPort, otherPorts, certificate })
    const server = await RelayProcess.start(`${name}, server end`, launch.server, { directory: serverDirectory, listenPort: linkPort })
    this.#ends = [server]
    this.#ends = [server, await RelayProcess.start(`${name}, client end`, await launch.client(), { directory: clientDirectory })]
    this.#entry = launch.connectProxy === undefined ? { port: entryPort } : { address: upstreamAddress, port: upstreamPort, connectProxy: launch.connectProxy }
    await this.#untilLinked()
  }

  async stop(): Promise<void> {
    await Promise.all(this.#ends.map((end) => end.stop()))
    this.#ends = []
    this.#delay?.stop()
    this.#delay = undefined
  }

  get isUp(): boolean {
    return this.#ends.length > 0 && this.ending === undefined
  }

  /** How one of its ends ended, although it should run; undefined if all is well. */
  get ending(): string | undefined {
    return this.#ends.find(({ ending }) => ending !== undefined)?.ending
  }

  /** Server end and client end. */
  get pids(): readonly number[] {
    return this.#ends.map(({ pid }) => pid)
  }

  get roundTripMs(): number {
    return this.#roundTripMs
  }

  /** Streams that lead to this server of the backend. */
  loadTarget(server: keyof typeof greetings): LoadTarget {
    return { ...this.#entry, hello: greetingOf(server) }
  }

  /**
   * Opens a stream, has its greeting echoed, and closes it.
   * @returns how long that took; undefined when it was not done in time
   */
  async probe(timeoutMs: number): Promise<number | undefined> {
    const startMs = performance.now()
    const target = this.loadTarget('echo')
    const head = connectHead(target)
    const socket = target.connectProxy === undefined ? connect({ port: target.port, host: '127.0.0.1', noDelay: true }) : connect({ path: target.connectProxy })
    const signal = AbortSignal.timeout(timeoutMs)
    try {
      if (head.length > 0) {
        socket.write(head)
        const [answer] = await once(socket, 'data', { signal }) as [Buffer]
        if (connectFault(answer) !== undefined) return undefined
      }
      socket.write(target.hello)
      for (let received = 0; received < target.hello.length;) {
        const [bytes] = await once(socket, 'data', { signal }) as [Buffer]
        received += bytes.length
      }
      return performance.now() - startMs
    } catch {
      // Refused, reset or too late: whoever asks knows what that means.
      return undefined
    } finally {
      socket.on('error', () => undefined)
      socket.destroy()
    }
  }

  async #untilLinked(): Promise<void> {
    const deadlineMs = performance.now() + linkTimeoutMs
    while (await this.probe(1_000) === undefined) {
      const failure = this.ending ?? (performance.now() > deadlineMs ? `no stream within ${linkTimeoutMs / 1000} s` : undefined)
      if (failure !== undefined) {
        const said = this.#ends.map((end) => end.logTail).join('\n')
        await this.stop()
        throw new RelayStartError(`${this.name} did not start: ${failure}\n${said}`)
      }
      await delay(linkPollMs)
    }
  }
}
