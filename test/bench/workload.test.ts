import { test } from 'tap'
import { shareOf } from '../../bench/load/load.ts'
import { parseOptions } from '../../bench/options.ts'
import { misfitOf, workloadsOf } from '../../bench/workload.ts'

function workloads(...args: string[]) {
  const options = parseOptions(args, ['direct'])
  return options === undefined ? [] : workloadsOf(options)
}

void test('a mode is a workload, echo one for each number of connections', async (t) => {
  t.same(workloads('--connections', '1,9').map(({ name }) => name), ['echo-1', 'echo-9', 'paced', 'connect', 'download', 'upload', 'idle'])
})

void test('a workload that needs too many descriptors is refused with the number', async (t) => {
  const [idle] = workloads('--modes', 'idle', '--idle-connections', '9950')
  t.equal(idle === undefined ? '' : misfitOf(idle, 20_000), undefined)
  t.match(idle === undefined ? '' : misfitOf(idle, 19_999), /9,950 connections needs some 20,000 descriptors, and the limit is 19,999 \(ulimit -n\)/)
})

void test('threads share the connections and the rate', async (t) => {
  const spec = { kind: 'paced', connections: 5, payloadBytes: 128, requestsPerSecond: 1000 } as const
  t.match(shareOf(spec, 0, 2), { connections: 3, requestsPerSecond: 600 })
  t.match(shareOf(spec, 1, 2), { connections: 2, requestsPerSecond: 400 })
  t.equal(shareOf({ kind: 'idle', connections: 1 }, 1, 2), undefined, 'one connection leaves nothing for the second thread')
})
