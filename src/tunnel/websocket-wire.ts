// A session's frames on a WebSocket: how they are written, and who is handed what comes.

import type { Duplex } from 'node:stream'
import type { WebSocket } from 'ws'
import type { MuxLink, Wire } from './mux-link.ts'

/** Of a message that comes in: far over what we send, for peers that gather more. */
export const messageBytesMax = 1024 * 1024

/** For the peer to close too; ws itself would wait for 30 s. */
const closeMsMax = 1_000

/** FIN and opcode 2 (RFC 6455 §5.2). */
const binaryMessage = 0x82
const maskBit = 0x80
const maskBytes = 4

/**
 * Messages are framed here and written as one piece: `send` would give the TLS layer header and body apart, which it then copies
 * together. All else, control frames and what comes in, is left to ws.
 * @param raw the WebSocket's own connection
 * @param role a client's frames are masked (RFC 6455 §5.3) with zeros: TLS has sealed them already, and masks guard proxies that see
 *   plain text
 */
export function webSocketWire(socket: WebSocket, raw: Duplex, role: 'client' | 'server'): Wire {
  const masked = role === 'client'
  return {
    get unsentBytes() {
      return raw.writableLength
    },
    write: (parts, bytes, sent) => {
      if (socket.readyState !== socket.OPEN) return
      raw.write(framed(parts, bytes, masked), sent)
    },
    close: () => {
      socket.close(1000)
      setTimeout(() => socket.terminate(), closeMsMax).unref()
    },
  }
}

/** @param bytes of all parts; below 64 KiB */
function framed(parts: readonly Uint8Array[], bytes: number, masked: boolean): Buffer {
  const lengthAt = 2
  const maskAt = bytes < 126 ? lengthAt : lengthAt + 2
  let at = masked ? maskAt + maskBytes : maskAt
  const frame = Buffer.allocUnsafe(at + bytes)
  frame[0] = binaryMessage
  frame[1] = (masked ? maskBit : 0) | (bytes < 126 ? bytes : 126)
  if (bytes >= 126) frame.writeUInt16BE(bytes, lengthAt)
  if (masked) frame.fill(0, maskAt, at)
  for (const part of parts) {
    frame.set(part, at)
    at += part.length
  }
  return frame
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
