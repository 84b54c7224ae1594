// A process of its own that does nothing but check: its CPU is what checks cost.

import { HealthLoop } from '../../src/health/health-loop.ts'
import type { CheckTarget } from '../../src/core/balance/endpoint-register.ts'
import { ConnectProbes } from '../../src/relay/linux/connect-probes.ts'

export interface CheckerRequest {
  readonly targets: readonly CheckTarget[]
  /** connect(2) by FFI, or node:net. */
  readonly by: 'libc' | 'node'
}

/** Of all that it has made so far. */
export interface CheckerAnswer {
  readonly passed: number
  readonly failed: number
  readonly cpuSeconds: number
}

let [passed, failed] = [0, 0]

process.on('message', (request: CheckerRequest | 'ask') => {
  if (request === 'ask') {
    const { user, system } = process.cpuUsage()
    process.send?.({ passed, failed, cpuSeconds: (user + system) / 1e6 } satisfies CheckerAnswer)
    return
  }
  const loop = new HealthLoop({
    folder: '/',
    ...(request.by === 'libc' ? { createTcpProber: (options) => new ConnectProbes(options) } : {}),
    updated: ({ made }) => {
      for (const { result, count } of made) {
        if (result === 'passed') passed += count
        else failed += count
      }
    },
  })
  loop.change({ added: request.targets, removed: [], down: [] })
})
process.once('disconnect', () => process.exit())
