// The sockets of the agent's streams: bare descriptors on Linux, node's own where those don't run.

import type { StreamSockets } from '../../core/tunnel/stream-sockets.ts'
import type { Logger } from '../../observe/log.ts'
import { PeerWatch } from '../../relay/node/peer-watch.ts'
import { createNodeSockets } from '../../tunnel/node-sockets.ts'

export async function createStreamSockets(logger: Logger): Promise<StreamSockets> {
  if (process.platform !== 'linux' || (process.arch !== 'x64' && process.arch !== 'arm64')) return nodeSockets()
  try {
    const { LinuxStreamSockets } = await import('../../relay/linux/stream-sockets.ts')
    return new LinuxStreamSockets()
  } catch (error) {
    logger.info({ why: error instanceof Error ? error.message : String(error) }, 'sockets of Linux’s own are not to be had: node’s take more memory and time')
    return nodeSockets()
  }
}

function nodeSockets(): StreamSockets {
  const peers = new PeerWatch()
  return createNodeSockets((socket) => peers.watch(socket))
}
