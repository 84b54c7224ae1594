// What is observed in worker threads: in the log and the metrics as if it had been observed in the main thread.

import { MessageChannel, Worker } from 'node:worker_threads'
import { test, type Test } from 'tap'
import type { ConnectionRecord } from '../../src/core/connection-record.ts'
import { accessLogLimits } from '../../src/observe/access-log.ts'
import { createLogger } from '../../src/observe/log.ts'
import { Observation } from '../../src/observe/observation.ts'
import { WorkerObserver, workerLogLimits, type LinesMessage } from '../../src/observe/worker-observer.ts'
import { keptLines } from '../support/kept-lines.ts'
import { until } from '../support/sockets.ts'
import type { ObservingWorkerData } from '../support/observing-worker.ts'

const client = { address: '192.0.2.7', port: 40_000 }
const record: ConnectionRecord = {
  id: 'c1', reason: 'completed', closedBy: 'downstream', listener: 'a:1', downstream: client, client, encryptedClientHello: false,
  tenant: 'acme', endpoint: '10.1.0.11:31443', attempts: 1, snapshotVersion: 3, acceptedAtMs: 0, totalMs: 2_000, bytesFromDownstream: 1, bytesFromUpstream: 2,
}

interface Line {
  readonly id?: string
  readonly reason?: string
  readonly msg: string
  readonly suppressed?: unknown
  readonly total?: number
}

function observe({ workers, level }: { readonly workers: number, readonly level?: string }) {
  const { lines, stream } = keptLines<Line>()
  const observation = new Observation({
    logger: createLogger({ level, stream }),
    version: '1.2.3',
    sources: {
      relay: () => ({
        openConnections: 0, openConnectionsBeforeHello: 0, openConnectionsByListener: new Map(), connectionsMax: 1,
        bytesFromDownstream: 0, bytesFromUpstream: 0, dials: 0, dialFailures: 0, backpressurePauses: 0, acceptErrors: 0,
      }),
      snapshot: () => ({ version: 1, publishedAtMs: 0, tenants: 1, hostnames: 1 }),
      limits: () => ({ openConnections: 0, openConnectionsBeforeHello: 0, openOfTenants: 0, tenantsWithConnections: 0, connectionsMax: 1, untracked: 0, forgotten: 0, retries: 0, retriesRefused: 0 }),
    },
    workers,
  })
  observation.addListener('a:1')
  return { observation, lines }
}

interface Observed {
  readonly records: readonly ConnectionRecord[]
  readonly failures?: number
}

/** One worker for each, none of whose event loops turns. */
function startWorkers(t: Test, observation: Observation, observed: readonly Observed[]): void {
  const end = new Int32Array(new SharedArrayBuffer(4))
  for (const [index, observer] of observation.workers.entries()) {
    const { port1, port2 } = new MessageChannel()
    port1.on('message', (message: LinesMessage) => observation.takeLines(observer, message))
    const { records, failures = 0 } = observed[index] ?? { records: [] }
    const data: ObservingWorkerData = { observer, port: port2, records, failures, end }
    const worker = new Worker(new URL('../support/observing-worker.ts', import.meta.url), { workerData: data, transferList: [port2] })
    t.teardown(async () => {
      Atomics.store(end, 0, 1)
      Atomics.notify(end, 0)
      await worker.terminate()
      port1.close()
    })
  }
}

void test('connections that end in blocked threads are lines and counts', async (t) => {
  const { observation, lines } = observe({ workers: 2 })
  const perWorker = 1_000
  startWorkers(t, observation, [0, 1].map((worker) => ({
    records: Array.from({ length: perWorker }, (_, index) => ({ ...record, id: `${worker}-${index}` })),
  })))
  await until(() => lines.length === 2 * perWorker)
  t.equal(new Set(lines.map(({ id }) => id)).size, 2 * perWorker)
  t.match(lines[0], { level: 'info', service: 'sluice', pid: process.pid, reason: 'completed', msg: 'connection' })
  t.match(await observation.metrics.text(), `sluice_connections_total{listener="a:1",outcome="completed"} ${2 * perWorker}\n`)
  observation.close()
})

void test('a flood over all threads has one budget, and the main thread tells what is missing', async (t) => {
  const workers = 2
  const { observation, lines } = observe({ workers })
  const flood = 1_000
  const records = Array.from({ length: flood }, () => ({ ...record, reason: 'hello-not-tls' as const }))
  startWorkers(t, observation, Array.from({ length: workers }, () => ({ records: [...records, { ...record, id: 'last' }], failures: 100 })))
  await until(() => lines.filter(({ id }) => id === 'last').length === workers)
  t.match(await observation.metrics.text(), `sluice_connections_refused_total{reason="hello-not-tls"} ${workers * flood}\n`)
  const written = lines.filter(({ reason }) => reason === 'hello-not-tls').length
  t.ok(written >= accessLogLimits.linesBurst, 'the whole burst')
  t.ok(written < workers * accessLogLimits.linesBurst, 'once')
  observation.close()
  // The last ones: there may have been others before.
  const missing = workers * flood - written
  t.match(lines.findLast(({ msg }) => msg.startsWith('access-log lines')), { level: 'warn', suppressed: { 'hello-not-tls': Number }, total: missing })
  t.match(await observation.metrics.text(), `sluice_access_log_suppressed_total ${missing}\n`)
  const failures = lines.filter(({ msg }) => msg === 'accept on a:1').length
  t.match(lines.findLast(({ msg }) => msg.startsWith('lines of failures')), { level: 'warn', total: workers * 100 - failures })
})

void test('workers keep to the level of the log', async (t) => {
  const { observation, lines } = observe({ workers: 1, level: 'warn' })
  startWorkers(t, observation, [{ records: [record], failures: 1 }])
  await until(() => lines.length > 0)
  t.match(lines, [{ level: 'error', msg: 'accept on a:1', err: { message: 'too many open files' } }])
  observation.close()
})

void test('a main thread that takes nothing bounds what waits for it; what is dropped is counted', async (t) => {
  const { observation, lines } = observe({ workers: 1 })
  const [data] = observation.workers
  if (data === undefined) throw new Error('bug: no worker')
  const waiting: LinesMessage[] = []
  const observer = new WorkerObserver(data, (message) => waiting.push(message))
  const ended = 100_000
  for (let index = 0; index < ended; index++) observer.connectionEnded(record)
  observer.flush()
  t.equal(waiting.length, workerLogLimits.batchesWaitingMax)
  for (const message of waiting.splice(0)) observation.takeLines(data, message)
  const taken = lines.length
  observer.connectionEnded(record)
  observer.flush()
  t.equal(waiting.length, 1, 'there is room again')
  observation.close()
  t.match(lines.at(-1), { level: 'warn', dropped: ended - taken, msg: /worker threads were dropped/ })
})

void test('lines are moved to the main thread, and the next ones have memory of their own', async (t) => {
  const { observation, lines } = observe({ workers: 1 })
  t.teardown(() => observation.close())
  const [data] = observation.workers
  if (data === undefined) throw new Error('bug: no worker')
  const { port1, port2 } = new MessageChannel()
  t.teardown(() => port1.close())
  port1.on('message', (message: LinesMessage) => observation.takeLines(data, message))
  const posted: LinesMessage[] = []
  const observer = new WorkerObserver(data, (message, transferred) => {
    port2.postMessage(message, transferred)
    posted.push(message)
  })
  for (const id of ['c1', 'c2']) {
    observer.connectionEnded({ ...record, id })
    observer.flush()
  }
  t.same(posted.map(({ bytes }) => bytes.byteLength), [0, 0], 'nothing of it is left here')
  await until(() => lines.length === 2)
  t.same(lines.map(({ id }) => id), ['c1', 'c2'])
})

void test('sources that are dropped are told of, over their budget as a count', async (t) => {
  const { observation, lines } = observe({ workers: 1 })
  t.teardown(() => observation.close())
  const [data] = observation.workers
  if (data === undefined) throw new Error('unreachable')
  const observer = new WorkerObserver(data, (message) => observation.takeLines(data, message))
  const drops = 200
  for (let index = 0; index < drops; index++) observer.sourceDropped({ listener: 'a:1', address: `192.0.2.${index}`, refusals: 16, periodMs: 700.4 })
  observer.flush()
  t.match(lines[0], { listener: 'a:1', source: '192.0.2.0', refusals: 16, forMs: 700, msg: /connectionsPerSourcePerSecond/ })
  t.ok(lines.length >= 50 && lines.length < drops)
  const told = lines.length
  observation.close()
  t.match(lines.slice(told), [{ suppressed: drops - told, total: drops - told, msg: /sources over their rate/ }])
})
