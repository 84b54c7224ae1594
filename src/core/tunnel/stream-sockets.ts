// The sockets at the ends of streams, as the tunnel has them: whoever makes the system calls, it needs no more of a connection
// than this. test/tunnel/stream-sockets.test.ts holds every driver to it.
//
//   StreamSockets ─ dial ─▶ connected · failed          StreamSocket ─▶ received … peerFinished, taken …, closed
//                 ─ listen ─▶ accepted …                             ◀─ write … finish, pause, resume · reset

import type { SocketAddress } from '../net/socket-address.ts'

/** What becomes of a socket's bytes. Nothing is called from within the socket's own methods. */
export interface SocketHandler {
  /** @param bytes the handler's to keep; in bulk they may be given back (`read-buffers.ts`) */
  received(bytes: Uint8Array): void
  /** The peer has sent FIN. */
  peerFinished(): void
  /** Of what `write` did not take at once, so many bytes have gone to the system since. After `finish` it may stay untold. */
  taken(bytes: number): void
  /**
   * Once, and the last that it is told; not after `reset`.
   * @param isWhole FIN went both ways, behind everything
   */
  closed(isWhole: boolean): void
}

/** One connection. It reads nothing before `resume`. */
export interface StreamSocket {
  handler: SocketHandler
  /** Undefined on a Unix socket. */
  readonly peer: SocketAddress | undefined
  /**
   * All of it will be sent. On a socket that is broken it is thrown away. Of no byte at all nothing is sent, but a Unix socket whose peer has closed
   * it both ways finds out that it is broken.
   * @param bytes must not change before they are taken
   * @returns how many of them have gone to the system already; `taken` tells of the others
   */
  write(bytes: Uint8Array): number
  /** FIN, behind what was written. */
  finish(): void
  /** RST where the connection has one, else an end; what is not sent is thrown away. Its handler is told nothing more. */
  reset(): void
  pause(): void
  resume(): void
}

export interface SocketDial {
  /** An IP literal: names are resolved before. */
  readonly to: SocketAddress
  /** The socket's handler is to be set in this very call. */
  readonly connected: (socket: StreamSocket) => void
  /** @param code of the system: ECONNREFUSED */
  readonly failed: (code: string) => void
}

export type ListenPlace = SocketAddress | { readonly path: string }

export interface SocketListen {
  readonly at: ListenPlace
  readonly backlog: number
  /** At one time; more are closed at once, and told of as `dropped`. @default Infinity */
  readonly openMax?: number
  readonly accepted: (socket: StreamSocket) => void
  readonly dropped: () => void
  /** The next one may be accepted again. */
  readonly failed: (error: Error) => void
}

export interface SocketListener {
  /** Undefined for a path. */
  readonly bound: SocketAddress | undefined
  /** Accepts nothing more; a path stays. */
  close(): void
}

export interface StreamSockets {
  /** @returns a way to give it up: then nothing is told of it. Nothing is told before this returns; after a result it does nothing */
  dial(dial: SocketDial): { abandon(): void }
  /** @throws the system's error */
  listen(listen: SocketListen): Promise<SocketListener>
}
