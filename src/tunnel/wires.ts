// What a session's frames travel on: a WebSocket, or a stream of bytes (between test peers).

import type { Duplex } from 'node:stream'
import type { WebSocket } from 'ws'
import type { Wire } from './mux-link.ts'

/** What comes in is for the caller to listen to. */
export function webSocketWire(socket: WebSocket): Wire {
  return {
    get unsentBytes() {
      return socket.bufferedAmount
    },
    write: (bytes, sent) => socket.send(bytes, sent),
    close: () => socket.close(),
  }
}

export function streamWire(stream: Duplex): Wire {
  return {
    get unsentBytes() {
      return stream.writableLength
    },
    write: (bytes, sent) => {
      stream.write(bytes, sent)
    },
    close: () => stream.end(),
  }
}
