// Which of this machine's TCP sockets wait for their peer, and which in vain: Node lets nobody ask a socket, but Linux has tables.

import { createReadStream } from 'node:fs'
import { endianness } from 'node:os'
import { tableLineBytesMax, waitingSockets } from '../../core/net/proc-net-tcp.ts'

const tables = ['/proc/self/net/tcp', '/proc/self/net/tcp6'] as const
const chunkBytes = 256 * 1024
const isLittleEndian = endianness() === 'LE'

/** By `socketPair`: whether it is in vain; undefined where the system has no such tables. */
export async function readWaitingSockets(): Promise<ReadonlyMap<string, boolean> | undefined> {
  const found = new Map<string, boolean>()
  for (const table of tables) {
    try {
      let rest = ''
      const chunks: AsyncIterable<string> = createReadStream(table, { encoding: 'latin1', highWaterMark: chunkBytes })
      for await (const chunk of chunks) {
        const lines = rest + chunk
        const end = lines.lastIndexOf('\n') + 1
        for (const { pair, inVain } of waitingSockets(lines.slice(0, end), { isLittleEndian })) found.set(pair, inVain)
        rest = lines.slice(end).slice(-tableLineBytesMax)
      }
    } catch {
      // A system without IPv6 has one of them.
      if (table === tables[0]) return undefined
    }
  }
  return found
}
