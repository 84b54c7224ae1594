// What prom-client tells of any Node process: memory, CPU, garbage collections, how late the main thread's timers are.

import { collectDefaultMetrics, type Registry } from 'prom-client'

/** Between two looks at how late timers are. By default it is 10 ms: a hundred wake-ups a second, half a percent of a core at rest. */
const eventLoopLookMs = 100

export function collectProcessMetrics(register: Registry): void {
  collectDefaultMetrics({ register, eventLoopMonitoringPrecision: eventLoopLookMs })
}
