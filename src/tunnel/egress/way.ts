// How a stream is opened to an agent: on a session of this thread, or by a link to where the session is, whose other end is told
// which one is meant (relayed-stream.ts).

import type { MuxStream, StreamHandler } from '../../core/mux/stream.ts'

export interface Way {
  /** @returns undefined where there can be none now */
  readonly open: (handler: StreamHandler) => MuxStream | undefined
  /** Lines of the head, behind its first one. */
  readonly fields: readonly string[]
}
