// One stream of a session: two directions that end each for itself, or both at once by a reset.
//
//              write, finish ─▶ FIN            reset: RST from either side, or the session's end
//   peer's FIN ─▶ finished                     what is under way is thrown away

import type { Flow } from './send-queue.ts'
import type { ReceiveWindow } from './window.ts'

/** What becomes of a stream. Nothing is called after `reset`, nor from within the stream's own methods. */
export interface StreamHandler {
  /**
   * Bytes from the peer: a view that is valid during the call. The stream's window stays as full as it is until `consumed` says
   * that the destination has taken them.
   */
  data(bytes: Uint8Array): void
  /** The peer will send nothing more. */
  finished(): void
  /** The peer has reset the stream, or the session has ended. */
  reset(): void
  /** `write` returned false, and now there is room. */
  writable(): void
}

/** What a stream's methods do is the session's. */
export interface StreamOwner {
  write(stream: MuxStream, bytes: Uint8Array): boolean
  finish(stream: MuxStream): void
  reset(stream: MuxStream): void
  consumed(stream: MuxStream, bytes: number): void
  released(stream: MuxStream): void
}

export class MuxStream {
  readonly id: number
  readonly openedByPeer: boolean
  /** The session's: how it is sent, and how much may come. */
  readonly flow: Flow
  readonly window: ReceiveWindow
  handler: StreamHandler | undefined
  /** The session's. */
  remoteFinished = false
  closed = false
  acknowledged = false
  readonly #owner: StreamOwner
  #held = false

  constructor({ id, openedByPeer, flow, window, owner }: { readonly id: number; readonly openedByPeer: boolean; readonly flow: Flow; readonly window: ReceiveWindow; readonly owner: StreamOwner }) {
    this.id = id
    this.openedByPeer = openedByPeer
    this.flow = flow
    this.window = window
    this.#owner = owner
  }

  get held(): boolean {
    return this.#held
  }

  /** Payload that is not sent yet. */
  get queuedBytes(): number {
    return this.flow.queuedBytes
  }

  /**
   * @param bytes the stream's until they are sent: they must not change
   * @returns whether there is room for more; if not, `writable` is called. A stream that has ended throws them away.
   */
  write(bytes: Uint8Array): boolean {
    return this.#owner.write(this, bytes)
  }

  /** FIN, behind what is queued. */
  finish(): void {
    this.#owner.finish(this)
  }

  /** RST; what is queued is thrown away. Nothing for a stream that has ended. */
  reset(): void {
    this.#owner.reset(this)
  }

  /** The destination has taken so many bytes of what `data` brought. */
  consumed(bytes: number): void {
    this.#owner.consumed(this, bytes)
  }

  /**
   * Work goes on for this stream (a dial) that a reset does not undo at once: it keeps counting among the peer's streams until
   * `release`, or a peer could have us dial without end by resetting what it opens.
   */
  hold(): void {
    this.#held = true
  }

  release(): void {
    if (!this.#held) return
    this.#held = false
    this.#owner.released(this)
  }
}
