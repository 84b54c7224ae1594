// The stream sockets that tests of the tunnel run on: the system's own driver.

import { createNodeSockets } from '../../src/tunnel/node-sockets.ts'

export const streamSockets = process.platform === 'linux' ? new (await import('../../src/relay/linux/stream-sockets.ts')).LinuxStreamSockets() : createNodeSockets()
