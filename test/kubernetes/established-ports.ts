// Which local TCP ports a process talks from: the same port before and after is the same connection, which no log can
// say as plainly. From Linux' /proc (proc(5), tcp(5)):
//
//   /proc/PID/fd/N → socket:[INODE]      /proc/net/tcp: sl local rem st … inode, addresses as hex ADDRESS:PORT

import { readdir, readFile, readlink } from 'node:fs/promises'

const established = '01'

/** @returns in ascending order, the ports of `pid`'s IPv4 connections to `remotePort` */
export async function establishedPorts(pid: number, remotePort: number): Promise<number[]> {
  const inodes = new Set<string>()
  for (const descriptor of await readdir(`/proc/${pid}/fd`)) {
    const target = await readlink(`/proc/${pid}/fd/${descriptor}`).catch(goneMeanwhile)
    const inode = /^socket:\[(\d+)\]$/.exec(target)?.[1]
    if (inode !== undefined) inodes.add(inode)
  }
  const ports: number[] = []
  for (const line of (await readFile('/proc/net/tcp', 'utf8')).split('\n').slice(1)) {
    const [, local = '', remote = '', state, , , , , , inode = ''] = line.trim().split(/\s+/)
    if (state === established && inodes.has(inode) && portOf(remote) === remotePort) ports.push(portOf(local))
  }
  return ports.toSorted((left, right) => left - right)
}

function portOf(address: string): number {
  return Number.parseInt(address.split(':')[1] ?? '', 16)
}

/** A descriptor that was closed between the listing and the look. */
function goneMeanwhile(error: NodeJS.ErrnoException): string {
  if (error.code === 'ENOENT') return ''
  throw error
}
