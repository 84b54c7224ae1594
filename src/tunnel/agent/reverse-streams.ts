// Streams that gateways open for the API server: each is dialled as the agent's policy allows, and told of when it ends.

import type { MuxStream, StreamHandler } from '../../core/mux/stream.ts'
import type { ReverseFacts, ReverseRecord } from '../../core/tunnel/agent-observer.ts'
import type { StreamSockets } from '../../core/tunnel/stream-sockets.ts'
import { createReversePolicy, type AllowEntry } from '../../core/tunnel/reverse-policy.ts'
import { DialledStream, type StreamDialler } from '../dialled-stream.ts'
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
  readonly sockets: StreamSockets
  readonly node: { readonly name: string; readonly addresses: readonly string[] }
  readonly ended: (record: ReverseRecord) => void
}

export class ReverseStreams {
  readonly #dialler: ReverseDialler
  readonly #ended: ReverseStreamsOptions['ended']
  #connections = 0

  constructor({ sockets, allow, dialTimeoutMs, dialsMax, node, ended }: ReverseStreamsOptions) {
    this.#dialler = new ReverseDialler({ sockets, policy: createReversePolicy(allow, node), dialTimeoutMs, ...(dialsMax === undefined ? {} : { dialsMax }) })
    this.#ended = ended
  }

  get facts(): ReverseFacts {
    return { connections: this.#connections, dials: this.#dialler.dials }
  }

  /** @returns what becomes of the stream */
  opened(stream: MuxStream, gateway: string): StreamHandler {
    this.#connections += 1
    return new DialledStream(stream, {
      tellsWhy: true,
      dial: this.#dial,
      ended: (record, dialMs) => {
        this.#connections -= 1
        this.#ended({ ...record, gateway, dialMs })
      },
    })
  }

  readonly #dial: StreamDialler['dial'] = (target, result) => this.#dialler.dial(target, result)
}
