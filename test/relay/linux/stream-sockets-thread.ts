// A thread whose stream sockets talk to each other without end, until it is stopped, or ends in the way that it is told to.

import { once } from 'node:events'
import { parentPort, workerData } from 'node:worker_threads'
import type { SocketHandler, StreamSocket } from '../../../src/core/tunnel/stream-sockets.ts'
import type { StreamDescriptors } from '../../../src/relay/linux/stream-descriptors.ts'
import { LinuxStreamSockets } from '../../../src/relay/linux/stream-sockets.ts'

export interface BusyThreadData {
  readonly descriptors: StreamDescriptors
}

/** Sent to it: how to end. */
export type BusyThreadEnd = 'exception' | 'memory'

const { descriptors } = workerData as BusyThreadData
const sockets = new LinuxStreamSockets(descriptors)
let received: () => void = () => undefined

function echo(socket: StreamSocket): void {
  const handler: SocketHandler = {
    received: (bytes) => {
      received()
      socket.write(bytes)
    },
    peerFinished: () => undefined,
    taken: () => undefined,
    closed: () => undefined,
  }
  socket.handler = handler
  socket.resume()
}

const { bound } = await sockets.listen({ at: { address: '127.0.0.1', port: 0 }, backlog: 64, accepted: echo, dropped: () => undefined, failed: () => undefined })
if (bound === undefined || parentPort === null) throw new Error('a thread with a listener on an address')
for (let count = 0; count < 8; count++) {
  sockets.dial({
    to: bound, failed: () => undefined,
    connected: (socket) => {
      echo(socket)
      socket.write(Buffer.from('round and round'))
    },
  })
}
received = () => parentPort?.postMessage('busy')
const [how] = await once(parentPort, 'message') as [BusyThreadEnd]
const hoard: unknown[] = []
received = () => {
  if (how === 'exception') throw new Error('asked for')
  hoard.push(Array.from({ length: 1_000 }, () => ({})))
}
