// Checks by connect(2): what is accepted, refused, silent or not there, many at once; and that nothing is left behind.

import { readFileSync, readdirSync } from 'node:fs'
import { test } from '../../support/linux-only.ts'
import type { Test } from 'tap'
import type { CheckTarget } from '../../../src/core/balance/endpoint-register.ts'
import type { CheckResult } from '../../../src/core/health/prober.ts'
import { ConnectProbes } from '../../../src/relay/linux/connect-probes.ts'
import { startBackend, until } from '../../support/sockets.ts'
import { freePort } from '../../../bench/free-port.ts'
import { unresponsivePort } from '../../support/unresponsive-port.ts'

function targetAt(id: number, port: number, { address = '127.0.0.1', timeoutMs = 3_000 } = {}): CheckTarget {
  return { id, address, port, health: { kind: 'tcp', intervalMs: 10_000, timeoutMs, fall: 3, rise: 2, slowStartMs: 0 } }
}

function startProbes(t: Test): { readonly probes: ConnectProbes; readonly results: Map<number, CheckResult>; readonly finished: () => Promise<void> } {
  const results = new Map<number, CheckResult>()
  const probes = new ConnectProbes({ done: (id, result) => results.set(id, result), nowMs: () => performance.now() })
  t.teardown(() => probes.close())
  return {
    probes, results,
    finished: async () => await until(() => {
      probes.poll(performance.now())
      return probes.size === 0
    }),
  }
}

void test('a check says what became of the connection', async (t) => {
  const backend = await startBackend(t)
  const { probes, results, finished } = startProbes(t)
  probes.begin(targetAt(1, backend.port))
  probes.begin(targetAt(2, await freePort()))
  probes.begin(targetAt(3, await unresponsivePort(t), { timeoutMs: 100 }))
  probes.begin(targetAt(4, 443, { address: '255.255.255.255' }))
  t.equal(results.size, 0, 'nothing is told before it is asked')
  await finished()
  t.same(Object.fromEntries(results), {
    1: { kind: 'passed', why: 'connection accepted' },
    2: { kind: 'failed', why: 'connection refused' },
    3: { kind: 'failed', why: 'no connection in 100 ms' },
    4: { kind: 'failed', why: 'connect: ENETUNREACH' },
  })
})

void test('what was accepted while nobody looked has passed, however late that is', async (t) => {
  const backend = await startBackend(t)
  const { probes, results, finished } = startProbes(t)
  probes.begin(targetAt(1, backend.port, { timeoutMs: 1 }))
  await until(() => backend.sockets.length === 1)
  await finished()
  t.match(results.get(1), { kind: 'passed' })
})

void test('hundreds at once leave no descriptor and no TIME_WAIT', async (t) => {
  const backend = await startBackend(t)
  const { probes, results, finished } = startProbes(t)
  const before = timeWaitsAt(backend.port)
  const descriptors = readdirSync('/proc/self/fd').length
  for (let batch = 0; batch < 4; batch++) {
    // Within the backlog.
    for (let id = 1; id <= 300; id++) probes.begin(targetAt(batch * 300 + id, backend.port))
    await finished()
    await until(() => backend.sockets.length === (batch + 1) * 300 && backend.sockets.every(({ destroyed }) => destroyed))
  }
  t.equal(results.size, 1_200)
  t.ok([...results.values()].every(({ kind }) => kind === 'passed'))
  t.ok(readdirSync('/proc/self/fd').length <= descriptors + 256, 'but for those that serve the next checks')
  t.same(timeWaitsAt(backend.port).filter((pair) => !before.includes(pair)), [])
  probes.close()
  t.ok(readdirSync('/proc/self/fd').length <= descriptors)
})

/** Pairs of addresses, of which one has this port. */
function timeWaitsAt(port: number): string[] {
  const hex = port.toString(16).toUpperCase().padStart(4, '0')
  return readFileSync('/proc/net/tcp', 'utf8').split('\n').flatMap((line) => /^ *\d+: (\S+ \S+) 06 /.exec(line)?.[1] ?? []).filter((pair) => `${pair} `.includes(`:${hex} `))
}

void test('a socket serves one check after the other, whatever became of the one before', async (t) => {
  const backend = await startBackend(t)
  const { probes, results, finished } = startProbes(t)
  const [gone, silent] = [await freePort(), await unresponsivePort(t)]
  for (let round = 0; round < 5; round++) {
    for (const [id, port] of [[1, backend.port], [2, gone], [3, silent], [4, backend.port]] as const) {
      probes.begin(targetAt(id, port, { timeoutMs: id === 3 ? 50 : 3_000 }))
      await finished()
    }
    t.same(Array.from(results.values(), ({ why }) => why), ['connection accepted', 'connection refused', 'no connection in 50 ms', 'connection accepted'])
  }
})

void test('closing ends those that are under way, and nothing more is told', async (t) => {
  const { probes, results } = startProbes(t)
  const before = readdirSync('/proc/self/fd').length
  const silent = await unresponsivePort(t)
  for (let id = 1; id <= 20; id++) probes.begin(targetAt(id, silent))
  t.equal(probes.size, 20)
  const other = new ConnectProbes({ done: () => undefined, nowMs: () => 0 })
  other.begin(targetAt(1, silent))
  other.close()
  t.equal(other.size, 0)
  t.equal(results.size, 0)
  t.ok(readdirSync('/proc/self/fd').length >= before)
})
