// The machine that the figures are of.

import { availableParallelism, cpus, release, totalmem, type } from 'node:os'
import { descriptorLimit } from './proc.ts'

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
