// Drains over threads that answer when they are told to: one that takes another's place, and one whose threads fail.

import { test } from 'tap'
import type { LiveThread, Scan } from '../../src/core/live/live-connection.ts'
import { Drains } from '../../src/gateway/drains.ts'
import { LiveConnections } from '../../src/gateway/live-connections.ts'

void test('a drain whose threads fail leaves the one alone that has taken its place', async (t) => {
  const scans: PromiseWithResolvers<Scan>[] = []
  const thread: LiveThread = {
    scan: async () => {
      const asked = Promise.withResolvers<Scan>()
      scans.push(asked)
      return await asked.promise
    },
    close: async () => await Promise.resolve(0),
  }
  const drains = new Drains({ live: new LiveConnections(() => [thread]), ended: () => undefined, failed: (error) => t.fail(error) })
  const first = drains.start('tenant acme', { tenant: 'acme' }, 60_000)
  const second = drains.start('tenant acme', { tenant: 'acme' }, 60_000)
  scans[0]?.reject(new Error('a fault'))
  await t.rejects(first, { message: 'a fault' })
  t.equal(drains.all.length, 1)
  scans[1]?.resolve({ connections: [] })
  await second
  drains.stop()
  t.same(drains.all, [])
})
