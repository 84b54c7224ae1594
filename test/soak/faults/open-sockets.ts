// A process's TCP sockets over IPv4, as proc(5) lists them: what is left open when nothing should be.

import { readdirSync, readFileSync, readlinkSync } from 'node:fs'

/** By their numbers in /proc/net/tcp. */
const states = ['?', 'ESTABLISHED', 'SYN_SENT', 'SYN_RECV', 'FIN_WAIT1', 'FIN_WAIT2', 'TIME_WAIT', 'CLOSE', 'CLOSE_WAIT', 'LAST_ACK', 'LISTEN', 'CLOSING']

/** One line for each but the listeners: local and remote address, state, and bytes that are queued. */
export function openSockets(pid: number): readonly string[] {
  const inodes = new Set<string>()
  for (const descriptor of readdirSync(`/proc/${pid}/fd`)) {
    const inode = /^socket:\[(\d+)\]$/.exec(targetOf(`/proc/${pid}/fd/${descriptor}`))?.[1]
    if (inode !== undefined) inodes.add(inode)
  }
  return readFileSync(`/proc/${pid}/net/tcp`, 'utf8').split('\n').slice(1).flatMap((line) => {
    const [, local = '', remote = '', state = '', queues = '', , , , , inode = ''] = line.trim().split(/\s+/)
    const name = states[Number.parseInt(state, 16)]
    if (!inodes.has(inode) || name === 'LISTEN') return []
    const [sendBytes = 0, receivedBytes = 0] = queues.split(':').map((hex) => Number.parseInt(hex, 16))
    return [`${addressOf(local)} to ${addressOf(remote)} ${name}, ${receivedBytes} bytes to read, ${sendBytes} to be sent`]
  })
}

/** Empty when it has been closed meanwhile. */
function targetOf(path: string): string {
  try {
    return readlinkSync(path)
  } catch {
    return ''
  }
}

/** `0B00007F:192B`: the address's bytes in the machine's order, the port in the usual one. */
function addressOf(text: string): string {
  const [address = '', port = ''] = text.split(':')
  return `${Array.from(Buffer.from(address, 'hex')).toReversed().join('.')}:${Number.parseInt(port, 16)}`
}
