// Connections that are no sessions yet: TLS, upgrade, admission. Each has a time for all of it, since a server that listens on
// nothing times no request itself, and a peer that has said nothing of itself must not hold a place for long.

import type { Socket } from 'node:net'

type Addresses = Pick<Socket, 'remoteAddress' | 'remotePort' | 'localAddress' | 'localPort'>

export class Handshakes {
  readonly #msMax: number
  /** By both addresses, since TLS hides the socket that is below it. */
  readonly #timers = new Map<string, NodeJS.Timeout>()

  constructor(msMax: number) {
    this.#msMax = msMax
  }

  get size(): number {
    return this.#timers.size
  }

  /** It is closed when its time is over. */
  begin(socket: Socket): void {
    const key = keyOf(socket)
    this.#over(key)
    const timer = setTimeout(() => socket.destroy(), this.#msMax)
    this.#timers.set(key, timer)
    // Then its addresses are not to be had any more, or another's already.
    socket.once('close', () => {
      if (this.#timers.get(key) === timer) this.#over(key)
    })
  }

  /** @param socket the one that began, or TLS on it */
  succeeded(socket: Addresses): void {
    this.#over(keyOf(socket))
  }

  #over(key: string): void {
    clearTimeout(this.#timers.get(key))
    this.#timers.delete(key)
  }
}

/** No two open connections have the same. */
function keyOf({ remoteAddress, remotePort, localAddress, localPort }: Addresses): string {
  return `${remoteAddress} ${remotePort} ${localAddress} ${localPort}`
}
