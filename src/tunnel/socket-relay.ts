// A stream and a socket as one connection: bytes both ways, FIN for FIN, RST for RST, and a reader that stops stops the other
// side's writer.

import type { MuxStream, StreamHandler } from '../core/mux/stream.ts'
import type { SocketHandler, StreamSocket } from '../core/tunnel/stream-sockets.ts'
import type { RelayEnd } from '../core/tunnel/tunnel-observer.ts'

/** Of what ends in a relay: first its head is read, then somebody dials. */
export type RelayStage = 'head' | 'dialling' | 'relaying' | 'ended'

/** As those who run the gateway see it. */
export function livePhase(stage: RelayStage, relay: SocketRelay | undefined): 'hello' | 'dialing' | 'relaying' | 'half-closed' {
  if (stage === 'head') return 'hello'
  if (stage === 'dialling') return 'dialing'
  return relay?.isHalfClosed === true ? 'half-closed' : 'relaying'
}

export interface SocketRelayTotals {
  readonly toSocketBytes: number
  readonly fromSocketBytes: number
}

/** Whose relay it is. */
export interface RelayOwner {
  /** Once: both are done with. */
  relayEnded(end: RelayEnd): void
}

export class SocketRelay implements StreamHandler, SocketHandler, SocketRelayTotals {
  toSocketBytes = 0
  fromSocketBytes = 0
  readonly #stream: MuxStream
  readonly #socket: StreamSocket
  readonly #owner: RelayOwner
  /** The stream's side has said all. */
  isFinished = false
  /** The socket's peer had bytes of the stream and ended before any of its own, though more might have come. */
  isUnanswered = false
  #isPeerFinished = false
  #isEnded = false

  /** Takes over the socket, which is read from now on. */
  constructor(stream: MuxStream, socket: StreamSocket, owner: RelayOwner) {
    this.#stream = stream
    this.#socket = socket
    this.#owner = owner
    socket.handler = this
    socket.resume()
  }

  /** One side has said all. */
  get isHalfClosed(): boolean {
    return this.isFinished || this.#isPeerFinished
  }

  received(bytes: Uint8Array): void {
    this.fromSocketBytes += bytes.length
    if (!this.#stream.write(bytes)) this.#socket.pause()
  }

  peerFinished(): void {
    this.#judge()
    this.#isPeerFinished = true
    this.#stream.finish()
  }

  taken(bytes: number): void {
    this.#stream.consumed(bytes)
  }

  closed(isWhole: boolean): void {
    if (!isWhole) {
      this.#judge()
      this.#stream.reset()
    }
    this.#end(isWhole ? 'completed' : 'socket-reset')
  }

  data(bytes: Uint8Array): void {
    this.toSocketBytes += bytes.length
    const taken = this.#socket.write(bytes)
    if (taken > 0) this.#stream.consumed(taken)
  }

  finished(): void {
    this.isFinished = true
    this.#socket.finish()
  }

  reset(): void {
    this.#end('stream-reset')
    this.#socket.reset()
  }

  writable(): void {
    this.#socket.resume()
  }

  #judge(): void {
    this.isUnanswered ||= this.fromSocketBytes === 0 && this.toSocketBytes > 0 && !this.isFinished && !this.#isEnded
  }

  #end(end: RelayEnd): void {
    if (this.#isEnded) return
    this.#isEnded = true
    this.#owner.relayEnded(end)
  }
}
