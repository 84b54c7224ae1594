// How many connections a process has descriptors for. Two for each connection, and a reserve for everything else:
// listeners, the admin server, log files, name resolution, and sockets that are still closing.

import { readFileSync } from 'node:fs'

/** Kept back from connections. */
export const reservedDescriptors = 256
const descriptorsPerConnection = 2
/** However many descriptors there are (a container may have 2^30): tables are made for so many. */
const connectionsCeiling = 500_000

/** Where the limit can't be read (other systems than Linux). */
const assumedDescriptors = 10_240

/** Open connections that the process's soft limit on descriptors (RLIMIT_NOFILE, getrlimit(2)) leaves room for, ≥1. */
export function connectionsMaxOfProcess(): number {
  return connectionsMaxFor(readDescriptorLimit() ?? assumedDescriptors)
}

export function connectionsMaxFor(descriptors: number): number {
  return Math.min(connectionsCeiling, Math.max(1, Math.floor((descriptors - reservedDescriptors) / descriptorsPerConnection)))
}

/** The soft limit; node has raised it to the hard one when it started. */
function readDescriptorLimit(): number | undefined {
  if (process.platform !== 'linux') return undefined
  const line = readFileSync('/proc/self/limits', 'utf8').split('\n').find((row) => row.startsWith('Max open files'))
  const soft = line?.split(/\s+/)[3]
  if (soft === undefined) return undefined
  return soft === 'unlimited' ? Infinity : Number(soft)
}
