// A step through a thread's slots: short whatever is found, and none is left out.

import { test } from 'tap'
import { ConnectionMatcher, foundPerScan, scanSlots, slotsPerScan, type ConnectionQuery, type LiveConnection } from '../../../src/core/live/live-connection.ts'
import { parseIpAddress } from '../../../src/core/net/ip-address.ts'

function liveIn(slot: number): LiveConnection {
  return { id: `c${slot}`, slot, kind: 'connection', phase: 'relaying', client: { address: '192.0.2.1', port: 1 }, acceptedAtMs: 0, bytesFromDownstream: 0, bytesFromUpstream: 0 }
}

void test('steps look at so many slots, tell of so many connections, and go on where they stopped', (t) => {
  const used = 2 * slotsPerScan + 7
  for (const { every, max } of [{ every: 1, max: slotsPerScan }, { every: 1, max: 7 }, { every: 3, max: 1 }, { every: 500, max: 100 }, { every: used + 1, max: 5 }]) {
    const met: number[] = []
    for (let from: number | undefined = 0; from !== undefined;) {
      let looks = 0
      const { connections, next } = scanSlots({ query: {}, from, max }, used, (slot) => {
        looks += 1
        return slot % every === 1 % every ? liveIn(slot) : undefined
      })
      if (looks > slotsPerScan || connections.length > Math.min(max, foundPerScan) || (next !== undefined && next <= from)) t.fail(`from ${from}: ${looks} looks, ${connections.length} found, next ${next}`)
      met.push(...connections.map(({ slot }) => slot))
      from = next
    }
    t.same(met, Array.from({ length: used }, (_, slot) => slot).filter((slot) => slot % every === 1 % every), `each ${every}th, ${max} at a time`)
  }
  t.same(scanSlots({ query: {}, from: 0, max: 5 }, 0, liveIn), { connections: [] })
  t.end()
})

void test('all of a query must hold; an endpoint without a port is any of its address, and who has no address is in no network', (t) => {
  const [endpoint, tenant] = [{ address: '10.1.0.11', port: 31_443 }, 'acme']
  for (const [query, expected, client] of [
    [{}, true, '192.0.2.1'], [{ tenant }, true, '192.0.2.1'], [{ tenant: 'globex' }, false, '192.0.2.1'], [{ id: 'c1' }, true, '192.0.2.1'], [{ id: 'c2' }, false, '192.0.2.1'],
    [{ endpoint }, true, '192.0.2.1'], [{ endpoint: { address: '10.1.0.11' } }, true, '192.0.2.1'], [{ endpoint: { address: '10.1.0.11', port: 1 } }, false, '192.0.2.1'], [{ endpoint: { address: '10.1.0.12' } }, false, '192.0.2.1'],
    [{ source: '192.0.2.0/24' }, true, '192.0.2.1'], [{ source: '192.0.2.0/24' }, true, '::ffff:192.0.2.1'], [{ source: '192.0.3.0/24' }, false, '192.0.2.1'], [{ source: '0.0.0.0/0' }, false, 'none'],
    [{ kinds: ['stream'] }, true, '192.0.2.1'], [{ kinds: ['connection', 'stream'], tenant }, true, '192.0.2.1'], [{ kinds: ['connection', 'egress'], tenant }, false, '192.0.2.1'],
    [{ source: '2001:db8::/64', tenant }, true, '2001:db8::9'], [{ source: '2001:db8::/64', tenant: 'globex' }, false, '2001:db8::9'],
  ] as const satisfies readonly (readonly [ConnectionQuery, boolean, string])[]) {
    t.equal(new ConnectionMatcher(query).matches({ kind: 'stream', tenant, endpoint, id: () => 'c1', client: () => parseIpAddress(client) }), expected, JSON.stringify(query))
  }
  t.equal(new ConnectionMatcher({ endpoint: { address: '10.1.0.11' } }).matches({ kind: 'egress', tenant: undefined, endpoint: undefined, id: () => 'c1', client: () => undefined }), false)
  t.end()
})
