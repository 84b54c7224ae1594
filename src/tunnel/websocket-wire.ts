// A session's frames on a WebSocket: how they are written, and who is handed what comes.

import type { WebSocket } from 'ws'
import type { MuxLink, Wire } from './mux-link.ts'

/** Of a message that comes in: far over what we send, for peers that gather more. */
export const messageBytesMax = 1024 * 1024

/** For the peer to close too; ws itself would wait for 30 s. */
const closeMsMax = 1_000

export function webSocketWire(socket: WebSocket): Wire {
  return {
    get unsentBytes() {
      return socket.bufferedAmount
    },
    write: (bytes, sent) => socket.send(bytes, sent),
    close: () => {
      socket.close(1000)
      setTimeout(() => socket.terminate(), closeMsMax).unref()
    },
  }
}

/**
 * What comes in goes to the session; the connection's end is its end.
 * @param text what to do with text messages, which are beside the session; absent: they end it
 */
export function linkWebSocket(socket: WebSocket, link: MuxLink, text?: (message: string) => void): void {
  socket.binaryType = 'nodebuffer'
  socket.on('message', (bytes: Buffer, isBinary: boolean) => {
    if (isBinary) link.received(bytes)
    else if (text !== undefined) text(bytes.toString())
    else link.closed('a text message: frames are binary')
  })
  // It closes after an error, and the code tells.
  let error: string | undefined
  socket.on('error', (cause) => {
    error = cause.message
  })
  socket.on('close', (code, reason) => link.closed(error ?? (reason.length > 0 ? `${code} ${reason.toString('latin1').slice(0, 123)}` : `connection closed (${code})`)))
}
