// What checks cost: a process that only checks, against listeners of another.

import { setTimeout as delay } from 'node:timers/promises'
import type { CheckTarget } from '../../src/core/balance/endpoint-register.ts'
import { Child } from './child.ts'
import type { CheckerAnswer, CheckerRequest } from './checker.ts'
import type { ListenersAnswer } from './listeners.ts'
import type { HealthOptions } from './options.ts'

export interface CheckCost {
  readonly by: CheckerRequest['by']
  readonly targets: number
  readonly checksPerSecond: number
  /** Of a core, everything in. */
  readonly core: number
  readonly microsecondsEach: number
  readonly failed: number
}

export async function measureCosts({ targets, seconds, intervalMs }: HealthOptions, tell: (line: string) => void): Promise<CheckCost[]> {
  const listeners = new Child('listeners.ts')
  const costs: CheckCost[] = []
  try {
    // One listener of a port accepts for all addresses of loopback.
    const { ports } = await listeners.ask<ListenersAnswer>({ kind: 'listen', addresses: ['0.0.0.0'], ports: 50 })
    for (const count of targets) {
      for (const by of ['libc', 'node'] as const) {
        tell(`${count} targets, ${by}`)
        costs.push(await costOf(targetsOf(count, ports, intervalMs), by, { seconds, intervalMs }))
      }
    }
  } finally {
    listeners.stop()
  }
  return costs
}

async function costOf(targets: readonly CheckTarget[], by: CheckerRequest['by'], { seconds, intervalMs }: Pick<HealthOptions, 'seconds' | 'intervalMs'>): Promise<CheckCost> {
  const checker = new Child('checker.ts')
  try {
    checker.tell({ targets, by } satisfies CheckerRequest)
    // Once each, and until the rhythm of the first ones has been spread.
    await delay(2 * intervalMs)
    const before = await checker.ask<CheckerAnswer>('ask')
    const startMs = performance.now()
    await delay(seconds * 1_000)
    const after = await checker.ask<CheckerAnswer>('ask')
    const elapsed = (performance.now() - startMs) / 1_000
    const checks = after.passed + after.failed - before.passed - before.failed
    const cpuSeconds = after.cpuSeconds - before.cpuSeconds
    return { by, targets: targets.length, checksPerSecond: checks / elapsed, core: cpuSeconds / elapsed, microsecondsEach: cpuSeconds * 1e6 / Math.max(1, checks), failed: after.failed }
  } finally {
    checker.stop()
  }
}

function targetsOf(count: number, ports: readonly number[], intervalMs: number): CheckTarget[] {
  return Array.from({ length: count }, (_, index) => {
    const host = Math.floor(index / ports.length)
    return { id: index + 1, address: `127.1.${host >> 8}.${host & 255}`, port: ports[index % ports.length] ?? 0, health: { kind: 'tcp', intervalMs, timeoutMs: 3_000, fall: 3, rise: 2, slowStartMs: 0 } }
  })
}
