// Ways to the members of an etcd that can be cut: what a network does to one gateway, while the others go on.

import { once } from 'node:events'
import { connect, createServer, type Socket } from 'node:net'
import type { Test } from 'tap'
import type { EtcdOptions } from '../../src/state/etcd/etcd-store.ts'

interface Ways {
  /** Through them. */
  readonly options: EtcdOptions
  cut(): void
  mend(): void
}

export async function waysTo(t: Test, options: EtcdOptions): Promise<Ways> {
  const ways = await Promise.all(options.endpoints.map(async (endpoint) => await Way.open(t, endpoint)))
  return {
    options: { ...options, endpoints: ways.map(({ endpoint }) => endpoint) },
    cut: () => {
      for (const way of ways) way.cut()
    },
    mend: () => {
      for (const way of ways) way.mend()
    },
  }
}

class Way {
  readonly endpoint: string
  readonly #sockets = new Set<Socket>()
  #isCut = false

  private constructor(port: number) {
    this.endpoint = `127.0.0.1:${port}`
  }

  static async open(t: Test, endpoint: string): Promise<Way> {
    const server = createServer((socket) => {
      const onward = connect(Number(endpoint.split(':')[1]), '127.0.0.1')
      for (const [one, other] of [[socket, onward], [onward, socket]] as const) {
        way.#sockets.add(one)
        one.on('error', () => other.destroy())
        one.on('close', () => {
          way.#sockets.delete(one)
          other.destroy()
        })
        one.pipe(other)
      }
      if (way.#isCut) socket.resetAndDestroy()
    }).listen(0, '127.0.0.1')
    await once(server, 'listening')
    t.teardown(() => {
      way.cut()
      server.close()
    })
    const address = server.address()
    if (address === null || typeof address === 'string') throw new Error('no port')
    const way = new Way(address.port)
    return way
  }

  cut(): void {
    this.#isCut = true
    for (const socket of this.#sockets) socket.resetAndDestroy()
  }

  mend(): void {
    this.#isCut = false
  }
}
