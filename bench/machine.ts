// The machine that the figures are of.

import { spawnSync } from 'node:child_process'
import { closeSync, openSync, writeSync } from 'node:fs'
import { availableParallelism, cpus, release, totalmem, type } from 'node:os'
import { OptionsError } from './command-line.ts'
import { descriptorLimit } from './proc.ts'

const cpuLatencyFile = '/dev/cpu_dma_latency'

export interface Machine {
  readonly cpu: string
  readonly cores: number
  readonly memoryGib: number
  readonly kernel: string
  readonly node: string
  readonly descriptorLimit: number
}

export function describeMachine(): Machine {
  return {
    cpu: cpus()[0]?.model.trim() ?? 'unknown',
    cores: availableParallelism(),
    memoryGib: Math.round(totalmem() / 1024 ** 3 * 10) / 10,
    kernel: `${type()} ${release()}`,
    node: process.version,
    descriptorLimit: descriptorLimit(),
  }
}

/**
 * No core takes longer to wake up, as long as this is held: Linux' Documentation/power/pm_qos_interface.rst.
 * @returns lets go of it
 * @throws {OptionsError} where that is not allowed, or not known
 */
export function holdCpuLatency(us: number): () => void {
  const value = Buffer.alloc(4)
  value.writeInt32LE(us)
  let fd = -1
  try {
    fd = openSync(cpuLatencyFile, 'w')
    writeSync(fd, value)
  } catch (error) {
    if (fd !== -1) closeSync(fd)
    throw new OptionsError(`--cpu-latency: ${cpuLatencyFile} must be writable, which takes root and a kernel with CONFIG_CPU_IDLE: ${error instanceof Error ? error.message : String(error)}`)
  }
  return () => closeSync(fd)
}

/**
 * This process and all that it starts from now on.
 * @param cores numbers of those that are left to others
 * @throws {OptionsError} where it cannot be
 */
export function keepOffCores(cores: readonly number[]): void {
  const others = Array.from({ length: availableParallelism() }, (_, core) => core).filter((core) => !cores.includes(core))
  const { status, stderr, error } = spawnSync('taskset', ['--all-tasks', '--cpu-list', '--pid', others.join(','), String(process.pid)], { encoding: 'utf8' })
  if (status !== 0) throw new OptionsError(`--relay-cores: taskset(1) of util-linux: ${error?.message ?? stderr.trim()}`)
}
