// frp, https://github.com/fatedier/frp: yamux over TLS. Its server takes the connections, and its client reaches the backend.

import { join } from 'node:path'
import { findGoProgram, type GoProgram } from './go-program.ts'
import type { TunnelPeer } from './tunnel-peer.ts'

// Without the web pages, which its module does not have.
const server: GoProgram = { name: 'frps', folder: 'frp', package_: 'github.com/fatedier/frp/cmd/frps', tags: 'noweb' }
const client: GoProgram = { name: 'frpc', folder: 'frp', package_: 'github.com/fatedier/frp/cmd/frpc', tags: 'noweb' }
export const frpPrograms: readonly GoProgram[] = [server, client]

export const frp: TunnelPeer = {
  name: 'frp',
  settings: 'a proxy of type `tcp`, `tcpMux` and TLS as by default',
  find: () => {
    const [foundServer, foundClient] = [findGoProgram(server), findGoProgram(client)]
    if (typeof foundServer === 'string') return foundServer
    if (typeof foundClient === 'string') return foundClient
    return {
      version: foundServer.version,
      launch: ({ serverDirectory, clientDirectory, linkPort, dialPort, entryPort, upstreamPort }) => ({
        server: {
          executable: foundServer.executable,
          arguments_: ['-c', join(serverDirectory, 'frps.toml')],
          files: { 'frps.toml': `bindAddr = "127.0.0.1"\nbindPort = ${linkPort}\nproxyBindAddr = "127.0.0.1"\n` },
          stopSignal: 'SIGKILL',
        },
        client: () => Promise.resolve({
          executable: foundClient.executable,
          arguments_: ['-c', join(clientDirectory, 'frpc.toml')],
          files: { 'frpc.toml': `serverAddr = "127.0.0.1"
serverPort = ${dialPort}

[[proxies]]
name = "bench"
type = "tcp"
localIP = "127.0.0.1"
localPort = ${upstreamPort}
remotePort = ${entryPort}
` },
          stopSignal: 'SIGKILL',
        }),
      }),
    }
  },
}
