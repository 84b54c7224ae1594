// The network that the bench of storms runs in: a namespace of its own, where it may have queues that all clients fit in. In the machine's
// network it takes what there is.

import { execFileSync } from 'node:child_process'
import { readFileSync, writeFileSync } from 'node:fs'
import { networkInterfaces } from 'node:os'

const somaxconnFile = '/proc/sys/net/core/somaxconn'
const settings = [
  [somaxconnFile, '16384'],
  // As it is on 127.0.0.1 by default: ports of ended connections are free again after a second.
  ['/proc/sys/net/ipv4/tcp_tw_reuse', '1'],
] as const

/** @returns places of a listener's queue, at the most */
export function prepareNetwork(): number {
  if (Object.keys(networkInterfaces()).length === 0) {
    execFileSync('ip', ['link', 'set', 'lo', 'up'])
    for (const [file, value] of settings) writeFileSync(file, value)
  }
  return Number(readFileSync(somaxconnFile, 'utf8'))
}
