// A link between two threads of a gateway: the mux on a MessagePort, for sessions that the other thread has. What is posted is
// acknowledged now and then, since a port does not say how much of it has been taken.

import type { MessagePort } from 'node:worker_threads'
import type { MuxStream, StreamHandler } from '../../core/mux/stream.ts'
import type { WindowBudget } from '../../core/mux/window.ts'
import { MuxLink, type Wire } from '../mux-link.ts'
import { threadLinkLimits } from './link-limits.ts'

const messageBytesMax = 16 * 1024
/** Taken, and not acknowledged yet. */
const acknowledgedEveryBytes = 32 * 1024

export interface ThreadLinkOptions {
  readonly port: MessagePort
  readonly role: 'client' | 'server'
  readonly budget: WindowBudget
  /** What becomes of a stream that the other thread has opened. */
  readonly relayed: (stream: MuxStream) => StreamHandler
}

export class ThreadLink {
  readonly #link: MuxLink

  constructor({ port, role, budget, relayed }: ThreadLinkOptions) {
    let unsentBytes = 0
    let takenBytes = 0
    let sent = (): void => undefined
    const wire: Wire = {
      messageBytesMax,
      get unsentBytes() {
        return unsentBytes
      },
      write: (parts, bytes, whenSent) => {
        const message = new Uint8Array(bytes)
        let at = 0
        for (const part of parts) {
          message.set(part, at)
          at += part.length
        }
        unsentBytes += bytes
        sent = whenSent
        port.postMessage(message, [message.buffer])
      },
      close: () => port.close(),
    }
    this.#link = new MuxLink({ role, wire, budget, limits: threadLinkLimits, opened: relayed, goingAway: () => undefined, ended: () => undefined })
    port.on('message', (message: Uint8Array | number) => {
      if (typeof message === 'number') {
        unsentBytes -= message
        sent()
        return
      }
      this.#link.received(message)
      takenBytes += message.length
      if (takenBytes < acknowledgedEveryBytes) return
      port.postMessage(takenBytes)
      takenBytes = 0
    })
    // The other thread is gone, or this link has been closed.
    port.on('close', () => this.#link.closed('the other thread is gone'))
    port.unref()
  }

  open(handler: StreamHandler): MuxStream | undefined {
    const stream = this.#link.session.open(handler)
    return typeof stream === 'object' ? stream : undefined
  }

  close(): void {
    this.#link.closed('the thread stops')
  }
}
