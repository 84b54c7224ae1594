// What Linux tells about processes: CPU, memory, children, limits. See proc(5).

import { readdirSync, readFileSync } from 'node:fs'

/** USER_HZ, in which /proc counts time: 100 on every architecture that Node runs on. */
const ticksPerSecond = 100

interface Stat {
  readonly pid: number
  readonly parentPid: number
  /** User and system, all threads, ended ones too. */
  readonly cpuSeconds: number
}

/** @returns undefined when there is no such process any more */
function readStat(pid: number): Stat | undefined {
  const text = readProc(`${pid}/stat`)
  if (text === undefined) return undefined
  // The command in parentheses may contain anything; the third field follows the last parenthesis.
  const fields = text.slice(text.lastIndexOf(')') + 2).split(' ')
  const field = (number: number): number => Number(fields[number - 3])
  return { pid, parentPid: field(4), cpuSeconds: (field(14) + field(15)) / ticksPerSecond }
}

function readProc(path: string): string | undefined {
  try {
    return readFileSync(`/proc/${path}`, 'utf8')
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    if (code === 'ENOENT' || code === 'ESRCH' || code === 'EACCES') return undefined
    throw error
  }
}

/** The process and all that it has started, and they. */
export function processTree(rootPid: number): readonly number[] {
  const stats = readdirSync('/proc').filter((name) => /^\d+$/.test(name)).flatMap((name) => readStat(Number(name)) ?? [])
  const tree = [rootPid]
  // `tree` grows while it is walked.
  for (const parent of tree) for (const { pid, parentPid } of stats) if (parentPid === parent) tree.push(pid)
  return tree
}

export function cpuSeconds(pids: readonly number[]): number {
  return pids.reduce((sum, pid) => sum + (readStat(pid)?.cpuSeconds ?? 0), 0)
}

/**
 * Proportional set size: private memory, and a share of what is shared. Socket buffers are the kernel's and not in it.
 * @returns undefined when it may not be read: a process of another user
 */
export function pssBytes(pids: readonly number[]): number | undefined {
  let sum = 0
  for (const pid of pids) {
    const kibibytes = /^Pss:\s+(\d+) kB$/m.exec(readProc(`${pid}/smaps_rollup`) ?? '')?.[1]
    if (kibibytes === undefined) return undefined
    sum += Number(kibibytes) * 1024
  }
  return sum
}

/** What each had resident at most, together. @returns undefined when there is no such process any more */
export function peakBytes(pids: readonly number[]): number | undefined {
  const kibibytes = pids.map((pid) => /^VmHWM:\s+(\d+) kB$/m.exec(readProc(`${pid}/status`) ?? '')?.[1])
  return kibibytes.includes(undefined) ? undefined : kibibytes.reduce((sum, each) => sum + Number(each) * 1024, 0)
}

export interface MachineCpu {
  /** What processes used, and what the hypervisor took. */
  readonly usedSeconds: number
  readonly idleSeconds: number
}

/** Of all CPUs since boot. */
export function machineCpu(): MachineCpu {
  const [, user = 0, nice = 0, system = 0, idle = 0, ioWait = 0, irq = 0, softIrq = 0, steal = 0] = (readProc('stat') ?? '').split('\n', 1)[0]?.split(/\s+/).map(Number) ?? []
  // A process's own time has that of the interrupts that hit it, so they belong to the sum.
  return { usedSeconds: (user + nice + system + irq + softIrq + steal) / ticksPerSecond, idleSeconds: (idle + ioWait) / ticksPerSecond }
}

/** Packets that the system dropped since boot, on any network, because a CPU had not processed those before them (net.core.netdev_max_backlog). */
export function droppedPackets(): number {
  return (readProc('net/softnet_stat') ?? '').trimEnd().split('\n').reduce((sum, line) => sum + Number.parseInt(line.split(' ')[1] ?? '0', 16), 0)
}

/** RLIMIT_NOFILE of this process, which those that it starts inherit. */
export function descriptorLimit(): number {
  const limit = /^Max open files\s+(\S+)/m.exec(readProc('self/limits') ?? '')?.[1]
  return limit === undefined || limit === 'unlimited' ? Number.POSITIVE_INFINITY : Number(limit)
}

/** The first port that the system takes for outgoing connections: below it, a port that is free stays free. */
export function firstEphemeralPort(): number {
  const first = Number.parseInt(readProc('sys/net/ipv4/ip_local_port_range') ?? '', 10)
  return Number.isNaN(first) ? 32_768 : first
}
