// A descriptor that a relay worker has handed over, as a socket of node in whichever thread this is called: for a TLS server,
// which is given it by `server.emit('connection', socket)`.
//
// What was read already is put back in front, not left in the system's buffer: MSG_PEEK would cost every connection a second
// system call, and only the tunnel's few need this. A TLS server that takes over a socket reads first what the socket holds.

import { Socket } from 'node:net'

export function socketOf(fd: number, head: Uint8Array): Socket {
  const socket = new Socket({ fd, readable: true, writable: true })
  // In the same turn: nothing has been read from the descriptor yet.
  socket.unshift(head)
  return socket
}
