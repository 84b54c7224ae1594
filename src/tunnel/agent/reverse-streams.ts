// Streams that gateways open for the API server: each is dialled as the agent's policy allows, and told of when it ends.

import type { Socket } from 'node:net'
import type { MuxStream, StreamHandler } from '../../core/mux/stream.ts'
import type { ReverseFacts, ReverseRecord } from '../../core/tunnel/agent-observer.ts'
import { createReversePolicy, type AllowEntry } from '../../core/tunnel/reverse-policy.ts'
import { DialledStream } from '../dialled-stream.ts'
import { ReverseDialler } from './reverse-dialler.ts'

export interface ReverseOptions {
  readonly allow: readonly AllowEntry[]
  /** Networks in CIDR notation that the agent says it reaches, beside its node's addresses. */
  readonly announce: readonly string[]
  /** For a name and all its addresses together. */
  readonly dialTimeoutMs: number
  /** At one time. @default reverseDialsMax */
  readonly dialsMax?: number
}

export interface ReverseStreamsOptions extends Pick<ReverseOptions, 'allow' | 'dialTimeoutMs' | 'dialsMax'> {
  readonly node: { readonly name: string; readonly addresses: readonly string[] }
  /** Ends a socket whose peer has vanished; absent: the system does, much later where bytes are in flight. */
  readonly watchPeer?: ((socket: Socket) => void) | undefined
  readonly ended: (record: ReverseRecord) => void
}

export class ReverseStreams {
  readonly #dialler: ReverseDialler
  readonly #ended: ReverseStreamsOptions['ended']
  #connections = 0

  constructor({ allow, dialTimeoutMs, dialsMax, node, watchPeer, ended }: ReverseStreamsOptions) {
    this.#dialler = new ReverseDialler({ policy: createReversePolicy(allow, node), dialTimeoutMs, watchPeer, ...(dialsMax === undefined ? {} : { dialsMax }) })
    this.#ended = ended
  }

  get facts(): ReverseFacts {
    return { connections: this.#connections, dials: this.#dialler.dials }
  }

  /** @returns what becomes of the stream */
  opened(stream: MuxStream, gateway: string): StreamHandler {
    let dialMs: number | undefined
    this.#connections += 1
    return new DialledStream({
      stream, tellsWhy: true,
      dial: (target, { connected, failed }) => {
        const startMs = performance.now()
        const timed = <Args extends readonly unknown[]>(then: (...args: Args) => void) => (...args: Args): void => {
          dialMs = performance.now() - startMs
          then(...args)
        }
        return this.#dialler.dial(target, { connected: timed(connected), failed: timed(failed) })
      },
      ended: (record) => {
        this.#connections -= 1
        this.#ended({ ...record, gateway, dialMs })
      },
    })
  }
}
