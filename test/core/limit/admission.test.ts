// Who is let in: caps, rates, shares, and that counts come back to what they were.

import fc from 'fast-check'
import { test } from 'tap'
import { releaseThread } from '../../../src/core/limit/holds.ts'
import { listenerWith, source, table, tenantWith } from './admission-table.ts'

const [here, there] = ['192.0.2.1', '192.0.2.2']

void test('caps at the accept: each refuses the one that is too many, and takes one again when one has left', async (t) => {
  for (const { limits, refusal } of [
    { limits: { connectionsMax: 2 }, refusal: 'listener-connection-limit' },
    { limits: { connectionsPerSourceMax: 2 }, refusal: 'source-connection-limit' },
  ]) {
    const { threads: [admission], figures } = table()
    const listener = listenerWith(limits)
    const holds = [admission?.accept(listener, source(here)), admission?.accept(listener, source(here))]
    t.equal(admission?.accept(listener, source(here)), refusal)
    t.equal(figures().openConnections, 2, 'who is refused leaves nothing behind')
    admission?.leave(Number(holds[0]))
    t.type(admission?.accept(listener, source(here)), 'number', refusal)
    t.equal(admission?.accept(listener, source(here)), refusal)
  }
})

void test('a listener at its cap leaves others alone, and a source at its own leaves other sources alone', async (t) => {
  const { threads: [admission] } = table()
  const [full, other] = [listenerWith({ connectionsMax: 1 }, 0), listenerWith({ connectionsPerSourceMax: 1 }, 1)]
  t.same([full, full, other, other].map((listener) => typeof admission?.accept(listener, source(here))), ['number', 'string', 'number', 'string'])
  t.type(admission?.accept(other, source(there)), 'number')
})

void test('an IPv6 source is its /64, and an IPv4 one is the same in IPv6’s clothes', async (t) => {
  const { threads: [admission] } = table()
  const listener = listenerWith({ connectionsPerSourceMax: 1 })
  const accepted = ['2001:db8::1', '2001:db8::ffff:ffff:ffff:ffff', '2001:db8:0:1::1', '192.0.2.1', '::ffff:192.0.2.1', '192.0.2.2'].map((address) => typeof admission?.accept(listener, source(address)))
  t.same(accepted, ['number', 'string', 'number', 'number', 'string', 'number'])
  t.same(source('::ffff:192.0.2.7'), source('192.0.2.7').setBytes(Uint8Array.of(0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 255, 255, 192, 0, 2, 7)))
  t.same(source('2001:db8::1'), source('::').setBytes(Uint8Array.of(0, 0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 9), 1))
})

void test('rates: so many at once, then as many as a second has, of a listener, a source and a tenant', async (t) => {
  const rate = { perSecond: 10, burst: 3 }
  for (const [what, listener, tenant] of [
    ['listener-rate-limit', listenerWith({ rate }), tenantWith(1)],
    ['source-rate-limit', listenerWith({ sourceRate: rate }), tenantWith(1)],
    ['tenant-rate-limit', listenerWith(), tenantWith(1, { rate })],
  ] as const) {
    const { threads: [admission], clock, figures } = table()
    const come = (): string | undefined => {
      const hold = admission?.accept(listener, source(here))
      if (typeof hold !== 'number') return hold
      const refusal = admission?.tenant(hold, tenant, here)
      admission?.leave(hold)
      return refusal
    }
    t.same([come(), come(), come(), come()], [undefined, undefined, undefined, what])
    clock.ms += 100
    t.same([come(), come()], [undefined, what])
    clock.ms += 60_000
    t.same([come(), come(), come(), come()], [undefined, undefined, undefined, what], 'after a rest')
    t.match(figures(), { openConnections: 0, openConnectionsBeforeHello: 0, openOfTenants: 0, tenantsWithConnections: 0 })
  }
})

void test('a source over its rate takes nothing of what its listener allows', async (t) => {
  const { threads: [admission] } = table()
  const listener = listenerWith({ rate: { perSecond: 10, burst: 10 }, sourceRate: { perSecond: 1, burst: 1 } })
  for (let turn = 0; turn < 100; turn++) admission?.accept(listener, source(here))
  for (let turn = 0; turn < 9; turn++) t.type(admission?.accept(listener, source(`192.0.2.${10 + turn}`)), 'number')
  t.equal(admission?.accept(listener, source('192.0.2.99')), 'listener-rate-limit')
})

void test('the hello budget: its own count, of which one source gets a quarter once half is taken', async (t) => {
  const { threads: [admission], figures } = table()
  admission?.publish({ helloConnectionsMax: 80 })
  const listener = listenerWith()
  const acceptAll = (count: number, addressOf: (index: number) => string): (number | string | undefined)[] => Array.from({ length: count }, (_, index) => admission?.accept(listener, source(addressOf(index))))
  const mine = acceptAll(80, () => here)
  t.equal(mine.filter((hold) => typeof hold === 'number').length, 40)
  t.equal(mine[40], 'hello-limit')
  t.equal(acceptAll(25, () => there).filter((hold) => typeof hold === 'number').length, 20)
  t.ok(acceptAll(20, (index) => `198.51.100.${index}`).every((hold) => typeof hold === 'number'), 'who has few is not refused')
  t.equal(admission?.accept(listener, source('198.51.100.99')), 'hello-limit', 'all of it is taken')
  for (const hold of mine) if (typeof hold === 'number') admission?.greeted(hold)
  t.match(figures(), { openConnectionsBeforeHello: 40, openConnections: 80 })
  t.type(admission?.accept(listener, source(here)), 'number', 'who has sent its hello is not in the budget any more')
})

void test('what a PROXY header says comes from counts as the source, and its balancer does not', async (t) => {
  const { threads: [admission], figures } = table()
  const listener = listenerWith({ connectionsPerSourceMax: 1 })
  const [one, other] = [Number(admission?.accept(listener, undefined)), Number(admission?.accept(listener, undefined))]
  t.equal(admission?.client(one, listener, here), undefined)
  t.equal(admission?.client(other, listener, here), 'source-connection-limit')
  admission?.leave(other)
  admission?.greeted(one)
  admission?.leave(one)
  t.match(figures(), { openConnections: 0, openConnectionsBeforeHello: 0 })
  t.type(admission?.accept(listener, source(here)), 'number')
})

void test('a tenant’s caps hold for connections and for streams of the tunnel together, and other tenants are not touched', async (t) => {
  const { threads: [admission], figures } = table()
  const [acme, globex] = [tenantWith(1, { connectionsMax: 3, connectionsPerSourceMax: 2 }), tenantWith(2)]
  const connect = (tenant = acme, from = here): string | undefined => {
    const hold = Number(admission?.accept(listenerWith(), source(from)))
    const refusal = admission?.tenant(hold, tenant, from)
    if (refusal !== undefined) admission?.leave(hold)
    return refusal
  }
  const stream = admission?.stream(acme, here)
  t.type(stream, 'number')
  t.same([connect(), connect(), connect(acme, there), connect(acme, '192.0.2.3')], [undefined, 'tenant-source-limit', undefined, 'tenant-connection-limit'])
  t.equal(admission?.stream(acme, there), 'tenant-connection-limit')
  t.equal(connect(globex), undefined)
  t.match(figures(), { openOfTenants: 4, tenantsWithConnections: 2, openConnections: 3 })
  admission?.leave(Number(stream))
  t.equal(connect(acme, '192.0.2.3'), undefined)
})

void test('a process that is nearly full keeps its last eighth for tenants with few connections', async (t) => {
  const { threads: [admission] } = table({ connectionsMax: 80 })
  const listener = listenerWith()
  const connect = (limitRow: number): string | undefined => {
    const hold = admission?.accept(listener, undefined)
    if (typeof hold !== 'number') return hold
    admission?.greeted(hold)
    const refusal = admission?.tenant(hold, tenantWith(limitRow), here)
    if (refusal !== undefined) admission?.leave(hold)
    return refusal
  }
  t.equal(connect(2), undefined)
  const greedy = Array.from({ length: 80 }, () => connect(1))
  t.equal(greedy.filter((refusal) => refusal === undefined).length, 69)
  t.equal(greedy.at(-1), 'share-limit')
  for (let row = 3; row < 13; row++) t.equal(connect(row), undefined, `tenant ${row}`)
  t.equal(connect(13), 'connection-limit', 'then it is full')
})

void test('in a storm tenants with few connections go first, and all go again when it is over', async (t) => {
  const { threads: [admission], clock } = table({ connectionsMax: 100_000 })
  admission?.publish({ rate: { perSecond: 100, burst: 20 } })
  const [large, small] = [tenantWith(1), tenantWith(2)]
  const counts = { large: 0, largeRefused: 0, small: 0, smallRefused: 0 }
  const come = (who: 'large' | 'small'): void => {
    const hold = Number(admission?.accept(listenerWith(), undefined))
    admission?.greeted(hold)
    const refusal = admission?.tenant(hold, who === 'large' ? large : small, here)
    if (refusal !== undefined) admission?.leave(hold)
    counts[refusal === undefined ? who : `${who}Refused` as const] += 1
  }
  // Ten seconds: the large one comes 500 times a second, the small one 5 times.
  come('small')
  for (let ms = 0; ms < 10_000; ms += 2) {
    clock.ms = 1_000 + ms
    come('large')
    if (ms % 200 === 0) come('small')
  }
  t.equal(counts.smallRefused, 0)
  t.equal(counts.small, 51)
  t.ok(counts.large > 900 && counts.large < 1_000, `the large one gets what is left: ${counts.large}`)
  clock.ms += 1_000
  const before = counts.largeRefused
  for (let turn = 0; turn < 10; turn++) come('large')
  t.equal(counts.largeRefused, before)
})

void test('in a storm connections are left in the queue while the pace would refuse some, and the last in it does not wait for too long', async (t) => {
  const { threads: [admission, other], clock } = table({ threads: 2 })
  t.same([admission?.isPaced, admission?.holdsBack(1)], [false, false], 'no pace')
  admission?.publish({ rate: { perSecond: 100, burst: 20 } })
  other?.publish({ rate: { perSecond: 100, burst: 20 } })
  const enter = (row: number): boolean => admission?.tenant(Number(admission.accept(listenerWith(), source(here))), tenantWith(row), here) === undefined
  for (let row = 0; row < 10; row++) t.same([admission?.holdsBack(1), enter(row)], [false, true])
  t.ok(enter(10), 'the half that is for the first of a tenant has begun')
  t.ok(admission?.holdsBack(1))
  t.ok(other?.holdsBack(1), 'all threads have one pace')
  for (const [queued, expected] of [[0, false], [99, true], [100, false], [4_096, false]] as const) t.equal(admission?.holdsBack(queued), expected, `${queued} in each of two queues, at 100 a second`)
  clock.ms += 20
  t.notOk(admission?.holdsBack(1))
})

void test('what a thread had that died is given back, and its number can be used again', async (t) => {
  const { tables, threads: [dead, alive], figures } = table({ threads: 2 })
  const [listener, acme] = [listenerWith({ connectionsPerSourceMax: 3 }), tenantWith(1, { connectionsMax: 3, connectionsPerSourceMax: 3 })]
  const live = Number(alive?.accept(listener, source(here)))
  alive?.tenant(live, acme, here)
  for (let turn = 0; turn < 2; turn++) dead?.tenant(Number(dead.accept(listener, source(here))), acme, here)
  t.same([alive?.accept(listener, source(here)), alive?.stream(acme, there)], ['source-connection-limit', 'tenant-connection-limit'])
  releaseThread(tables, 0)
  t.match(figures(), { openConnections: 1, openConnectionsBeforeHello: 1, openOfTenants: 1, tenantsWithConnections: 1 })
  const next = Number(alive?.accept(listener, source(here)))
  t.equal(alive?.tenant(next, acme, here), undefined)
  alive?.leave(next)
  alive?.leave(live)
  t.match(figures(), { openConnections: 0, openConnectionsBeforeHello: 0, openOfTenants: 0, tenantsWithConnections: 0 })
})

type Step = { readonly thread: number; readonly kind: 'accept' | 'greet' | 'tenant' | 'leave'; readonly pick: number; readonly from: number; readonly tenant: number }

void test('whatever order threads come in, no cap is passed, and in the end nothing is left', async () => {
  const step = fc.record<Step>({
    thread: fc.nat({ max: 2 }), kind: fc.constantFrom('accept', 'accept', 'greet', 'tenant', 'leave'), pick: fc.nat({ max: 1_000 }), from: fc.nat({ max: 4 }), tenant: fc.nat({ max: 2 }),
  })
  fc.assert(fc.property(fc.array(step, { maxLength: 400 }), (steps) => {
    const { tables, threads, figures, clock } = table({ connectionsMax: 20, threads: 3 })
    for (const admission of threads) admission.publish({ connectionsMax: 12, helloConnectionsMax: 6 })
    const listener = listenerWith({ connectionsMax: 10, connectionsPerSourceMax: 4, sourceRate: { perSecond: 100, burst: 5 } })
    const tenants = [0, 1, 2].map((row) => tenantWith(row + 1, { connectionsMax: 4, connectionsPerSourceMax: 2, rate: { perSecond: 50, burst: 5 } }))
    const open = threads.map((): { hold: number; from: number; tenant: number | undefined }[] => [])
    for (const { thread, kind, pick, from, tenant } of steps) {
      clock.ms += 1
      const [admission, mine] = [threads[thread], open[thread]]
      if (admission === undefined || mine === undefined) throw new Error('unreachable')
      if (kind === 'accept') {
        const hold = admission.accept(listener, source(`192.0.2.${from}`))
        if (typeof hold === 'number') mine.push({ hold, from, tenant: undefined })
        continue
      }
      const index = pick % Math.max(1, mine.length)
      const its = mine[index]
      if (its === undefined) continue
      if (kind === 'greet') admission.greeted(its.hold)
      else if (kind === 'tenant' && its.tenant === undefined && tenants[tenant] !== undefined) {
        const refusal = admission.tenant(its.hold, tenants[tenant], `192.0.2.${from}`)
        its.tenant = tenant
        if (refusal !== undefined) {
          admission.leave(its.hold)
          mine.splice(index, 1)
        }
      } else if (kind === 'leave') {
        admission.leave(its.hold)
        mine.splice(index, 1)
      }
      const all = open.flat()
      if (all.length !== figures().openConnections || all.length > 10 || figures().openConnectionsBeforeHello > 6) return false
      if ([0, 1, 2].some((row) => all.filter((each) => each.tenant === row).length > 4)) return false
      if ([0, 1, 2, 3, 4].some((last) => all.filter((each) => each.from === last).length > 4)) return false
    }
    for (const [thread, holds] of open.entries()) for (const { hold } of holds) threads[thread]?.leave(hold)
    const { openConnections, openConnectionsBeforeHello, openOfTenants, tenantsWithConnections, untracked } = figures()
    const left = [...tables.listeners, ...tables.tenants].some((count) => count !== 0) || tables.sources.rows.some((cell, index) => index % 5 >= 3 && cell !== 0)
    return openConnections + openConnectionsBeforeHello + openOfTenants + tenantsWithConnections + untracked === 0 && !left
  }), { numRuns: 300 })
})

void test('a tenant is never refused because of another that is at its cap, too fast, or both', async () => {
  fc.assert(fc.property(fc.array(fc.tuple(fc.boolean(), fc.nat({ max: 20 })), { maxLength: 300 }), (turns) => {
    const { threads: [admission], clock } = table({ connectionsMax: 1_000 })
    const [greedy, modest] = [tenantWith(1, { connectionsMax: 5, rate: { perSecond: 10, burst: 2 } }), tenantWith(2)]
    return turns.every(([isGreedy, gapMs]) => {
      clock.ms += gapMs
      const hold = Number(admission?.accept(listenerWith(), source(isGreedy ? here : there)))
      admission?.greeted(hold)
      const refusal = admission?.tenant(hold, isGreedy ? greedy : modest, isGreedy ? here : there)
      if (refusal !== undefined) admission?.leave(hold)
      return isGreedy || refusal === undefined
    })
  }))
})
