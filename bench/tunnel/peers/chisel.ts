// chisel, https://github.com/jpillora/chisel: SSH over a WebSocket. SSH seals the link; TLS around it would do that twice.

import { findGoProgram, type GoProgram } from './go-program.ts'
import type { TunnelPeer } from './tunnel-peer.ts'

export const chiselProgram: GoProgram = { name: 'chisel', folder: 'chisel', package_: 'github.com/jpillora/chisel' }

export const chisel: TunnelPeer = {
  name: 'chisel',
  settings: 'a forward remote, SSH over a WebSocket',
  find: () => {
    const found = findGoProgram(chiselProgram)
    if (typeof found === 'string') return found
    const { version, executable } = found
    return {
      version,
      launch: ({ linkPort, dialPort, entryPort, upstreamPort }) => ({
        server: { executable, arguments_: ['server', '--host', '127.0.0.1', '--port', String(linkPort)], files: {}, stopSignal: 'SIGKILL' },
        client: () => Promise.resolve({
          executable,
          arguments_: ['client', `http://127.0.0.1:${dialPort}`, `127.0.0.1:${entryPort}:127.0.0.1:${upstreamPort}`],
          files: {},
          stopSignal: 'SIGKILL',
        }),
      }),
    }
  },
}
