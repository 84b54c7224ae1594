// A thread with an HTTPS server that listens on nothing: it is given descriptors of accepted connections.

import { parentPort, workerData } from 'node:worker_threads'
import { socketOf } from '../../src/relay/linux/handed-over-socket.ts'
import { createTunnelServer } from './tunnel-server.ts'

export interface HandedOverDescriptor {
  readonly fd: number
  readonly head: Uint8Array
}

const server = createTunnelServer(workerData)
parentPort?.on('message', ({ fd, head }: HandedOverDescriptor) => server.emit('connection', socketOf(fd, head)))
