// What is told about each measurement, and how a table shows it. Pure.

import type { LoadSpec } from './load/load.ts'

export type MetricName =
  | 'requestsPerSecond' | 'connectionsPerSecond' | 'gigabytesPerSecond'
  | 'cpuUsPerRequest' | 'machineCpuUsPerRequest' | 'cpuUsPerConnection' | 'cpuSecondsPerGigabyte'
  | 'p50Us' | 'p90Us' | 'p99Us' | 'p999Us' | 'maxUs' | 'generatorLateP50Us' | 'generatorLateP99Us'
  | 'beforeP50Us' | 'beforeP99Us' | 'newStreamMs' | 'megabytesPerSecond' | 'logMegabytesPerSecond' | 'stalledStreams' | 'stalledMib' | 'stalledKibPerStream'
  | 'answered504' | 'answeredOther' | 'closedUnanswered' | 'unanswered' | 'slowestAnswerMs' | 'pendingMib'
  | 'firstBroadcasts' | 'broadcastsPerMinute' | 'copiesPerMinute' | 'probesPerMinute' | 'nodeEntries' | 'apiServerEntries' | 'gatewayEntries' | 'entries'
  | 'timesP50' | 'timesP99' | 'halfInMs' | 'mostInMs' | 'allInMs' | 'alerts' | 'resets' | 'timeouts'
  | 'newcomerP50Ms' | 'newcomerP99Ms' | 'newcomersFailed' | 'attackers' | 'attackersAnswered'
  | 'memoryMib' | 'peakMib' | 'idleKibPerConnection' | 'idleCpuPercent'
  | 'relayCores' | 'generatorCores' | 'backendCores' | 'otherCores'

/** Absent: it makes no sense there (a direct connection has no relay), or could not be read. */
export type Metrics = Readonly<Partial<Record<MetricName, number>>>

export interface Column {
  readonly metric: MetricName
  readonly title: string
  /** Digits after the point. */
  readonly digits: number
  /** Shown with its spread, and as a multiple of the best peer's in the same run. */
  readonly compared?: 'more' | 'less'
}

const microseconds = (metric: MetricName, title: string): Column => ({ metric, title: `${title}, µs`, digits: 0 })
const memory: Column = { metric: 'memoryMib', title: 'memory, MiB', digits: 1 }
const cores: readonly Column[] = [
  { metric: 'relayCores', title: 'cores: relay', digits: 2 },
  { metric: 'generatorCores', title: 'generator', digits: 2 },
  { metric: 'backendCores', title: 'backend', digits: 2 },
]

/** The columns of a load's table. */
export const columnsOf: Readonly<Record<LoadSpec['kind'], readonly Column[]>> = {
  echo: [
    { metric: 'requestsPerSecond', title: 'requests/s', digits: 0, compared: 'more' },
    { metric: 'cpuUsPerRequest', title: 'CPU µs/request', digits: 1, compared: 'less' },
    { metric: 'machineCpuUsPerRequest', title: 'of the whole machine', digits: 1 },
    microseconds('p50Us', 'p50'), microseconds('p99Us', 'p99'), microseconds('p999Us', 'p99.9'),
    memory, ...cores,
  ],
  paced: [
    { metric: 'p50Us', title: 'p50, µs', digits: 0, compared: 'less' },
    microseconds('p90Us', 'p90'),
    { metric: 'p99Us', title: 'p99, µs', digits: 0, compared: 'less' },
    microseconds('p999Us', 'p99.9'), microseconds('maxUs', 'max'),
    microseconds('generatorLateP50Us', 'generator late p50'), microseconds('generatorLateP99Us', 'p99'),
    { metric: 'cpuUsPerRequest', title: 'CPU µs/request', digits: 1 },
    ...cores,
  ],
  connect: [
    { metric: 'connectionsPerSecond', title: 'connections/s', digits: 0, compared: 'more' },
    { metric: 'cpuUsPerConnection', title: 'CPU µs/connection', digits: 1, compared: 'less' },
    microseconds('p50Us', 'p50'), microseconds('p99Us', 'p99'),
    memory, ...cores,
  ],
  download: bulkColumns(),
  upload: bulkColumns(),
  idle: [
    { metric: 'idleKibPerConnection', title: 'KiB/connection', digits: 2, compared: 'less' },
    memory,
    { metric: 'idleCpuPercent', title: 'CPU while idle, %', digits: 1 },
  ],
}

function bulkColumns(): readonly Column[] {
  return [
    { metric: 'gigabytesPerSecond', title: 'GB/s', digits: 2, compared: 'more' },
    { metric: 'cpuSecondsPerGigabyte', title: 'CPU s/GB', digits: 3, compared: 'less' },
    memory, ...cores,
  ]
}
