// Which version of the configuration new connections get: each probe connects, names the probed tenant, and one of its two
// endpoints answers with its number. Probes go on all the time, so what they cost is in all windows alike.

import { once } from 'node:events'
import { type AddressInfo, connect, createServer, type Server } from 'node:net'
import { setTimeout as delay } from 'node:timers/promises'

/** From one answer to the next probe: what a time is right to. */
const pauseMs = 4
const answerMsMax = 5_000

export class Probe {
  readonly #hello: Buffer
  readonly #servers: readonly Server[]
  readonly ports: readonly [even: number, odd: number]
  #probing: Promise<void> | undefined
  #stopped = false
  #onAnswer: (endpoint: number) => void = () => undefined

  private constructor(hello: Buffer, servers: readonly Server[]) {
    this.#hello = hello
    this.#servers = servers
    const [even = 0, odd = 0] = servers.map((server) => (server.address() as AddressInfo).port)
    this.ports = [even, odd]
  }

  /** The two endpoints, on 127.0.0.1. @param hello names the probed tenant */
  static async listen(hello: Buffer): Promise<Probe> {
    const servers = await Promise.all([0, 1].map(async (number) => {
      const server = createServer((socket) => {
        socket.on('error', () => socket.destroy())
        socket.once('data', () => socket.end(String(number)))
      })
      server.listen(0, '127.0.0.1')
      await once(server, 'listening')
      return server
    }))
    return new Probe(hello, servers)
  }

  /** Through the relay at this port, until `stop`. */
  start(port: number): void {
    this.#probing = this.#run(port)
    // `live` tells of it.
    this.#probing.catch(() => undefined)
  }

  /**
   * @returns when a new connection reached the endpoint of this version, of performance.now()
   * @throws what went wrong with a probe
   */
  async live(version: number): Promise<number> {
    const reached = new Promise<number>((resolve) => {
      this.#onAnswer = (endpoint) => {
        if (endpoint === version % 2) resolve(performance.now())
      }
    })
    const failed = this.#probing?.then(() => {
      throw new Error('bug: nobody probes')
    })
    return await Promise.race([reached, failed ?? reached])
  }

  async stop(): Promise<void> {
    this.#stopped = true
    await Promise.allSettled([this.#probing])
    for (const server of this.#servers) server.close()
  }

  async #run(port: number): Promise<void> {
    while (!this.#stopped) {
      this.#onAnswer(await this.#ask(port))
      await delay(pauseMs)
    }
  }

  async #ask(port: number): Promise<number> {
    const socket = connect({ port, host: '127.0.0.1' })
    try {
      socket.write(this.#hello)
      const [answer] = await once(socket, 'data', { signal: AbortSignal.timeout(answerMsMax) }) as [Buffer]
      return Number(answer.toString())
    } finally {
      socket.on('error', () => undefined)
      socket.destroy()
    }
  }
}
