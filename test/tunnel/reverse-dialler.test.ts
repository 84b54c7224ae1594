// What an agent dials for its API server: how many at one time, names that are being resolved included.

import { test } from 'tap'
import { createReversePolicy } from '../../src/core/tunnel/reverse-policy.ts'
import type { DialFailure } from '../../src/tunnel/dialled-stream.ts'
import { ReverseDialler } from '../../src/tunnel/agent/reverse-dialler.ts'
import { until } from '../support/sockets.ts'
import { streamSockets } from '../support/stream-sockets.ts'

void test('a name that is still being resolved keeps its place, whoever has given up on it', async (t) => {
  const lookups: ((addresses: readonly { readonly address: string }[]) => void)[] = []
  const policy = createReversePolicy([{ kind: 'host', host: '*.corp.example', ports: [{ from: 1, to: 65_535 }] }], { name: 'worker-1', addresses: [] })
  const dialler = new ReverseDialler({ sockets: streamSockets, policy, dialTimeoutMs: 50, dialsMax: 2, lookup: async () => await new Promise((resolve) => void lookups.push(resolve)) })
  const failures: DialFailure[] = []
  const dial = (name: string): ReturnType<ReverseDialler['dial']> => dialler.dial(`${name}.corp.example:443`, { connected: () => t.fail('connected'), failed: (failure) => failures.push(failure) })
  dial('late')
  dial('left')?.abandon()
  await until(() => failures.length === 1)
  t.match(failures[0], { status: 504, detail: 'late.corp.example:443: no answer in 50 ms' })
  t.equal(dialler.dials, 2)
  dial('next')
  t.match(failures[1], { status: 503, detail: '2 dials are under way already' })
  for (const answer of lookups) answer([{ address: '198.51.100.7' }])
  await until(() => dialler.dials === 0)
  t.equal(failures.length, 2, 'what is found too late is not dialled')
})
