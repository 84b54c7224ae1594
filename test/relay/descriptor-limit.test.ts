import { test } from 'tap'
import { connectionsMaxFor, connectionsMaxOfProcess, reservedDescriptors } from '../../src/relay/descriptor-limit.ts'

void test('a connection has two descriptors, and some are kept back', async (t) => {
  for (const { descriptors, connections } of [
    { descriptors: 20_000, connections: 9_872 },
    { descriptors: 1_024, connections: 384 },
    { descriptors: reservedDescriptors + 2, connections: 1 },
    { descriptors: 3, connections: 1 },
    { descriptors: 2 ** 30, connections: 500_000 },
    { descriptors: Infinity, connections: 500_000 },
  ]) {
    t.equal(connectionsMaxFor(descriptors), connections, String(descriptors))
  }
  t.ok(connectionsMaxOfProcess() >= 1)
})
