// Health by results: fall and rise, when checks come, what failed dials do, addresses that fall as a whole, and slow starts.
// A world of endpoints stands for the network; its clock goes in steps of 10 ms.

import fc from 'fast-check'
import { test } from 'tap'
import type { CheckTarget } from '../../../src/core/balance/endpoint-register.ts'
import { HealthMonitor, type HealthUpdate } from '../../../src/core/health/health-monitor.ts'
import type { HealthSpec } from '../../../src/core/health/health-spec.ts'
import type { CheckResult } from '../../../src/core/health/prober.ts'

const spec: HealthSpec = { kind: 'tcp', intervalMs: 10_000, timeoutMs: 3_000, fall: 3, rise: 2, slowStartMs: 0 }
const stepMs = 10

const passed: CheckResult = { kind: 'passed', why: 'connection accepted' }
const refused: CheckResult = { kind: 'failed', why: 'connection refused' }
const silent: CheckResult = { kind: 'failed', why: 'no connection in 3000 ms' }

interface WorldOptions {
  readonly addresses?: number
  readonly ports?: number
  readonly health?: Partial<HealthSpec>
  readonly checksPerSecondMax?: number
  readonly seed?: number
}

class World {
  nowMs = 0
  readonly monitor: HealthMonitor
  readonly targets: readonly CheckTarget[]
  readonly updates: (HealthUpdate & { readonly atMs: number })[] = []
  readonly begun: { readonly id: number; readonly atMs: number }[] = []
  /** What a check finds, by id. */
  finds: (target: CheckTarget) => CheckResult = () => passed
  readonly #underWay: { readonly id: number; readonly result: CheckResult; readonly atMs: number }[] = []
  #seed: number

  constructor({ addresses = 1, ports = 1, health = {}, checksPerSecondMax, seed = 1 }: WorldOptions = {}) {
    this.#seed = seed
    this.monitor = new HealthMonitor({ nowMs: 0, random: () => this.#random(), targetsMax: 10_000, ...(checksPerSecondMax === undefined ? {} : { checksPerSecondMax }) })
    this.targets = Array.from({ length: addresses * ports }, (_, index) => ({ id: index + 1, address: `192.0.2.${Math.floor(index / ports)}`, port: index % ports, health: { ...spec, ...health } }))
    this.monitor.add(this.targets, 0)
  }

  run(ms: number): void {
    for (const endMs = this.nowMs + ms; this.nowMs < endMs; this.nowMs += stepMs) {
      for (const done of this.#underWay.splice(0)) {
        if (done.atMs > this.nowMs) this.#underWay.push(done)
        else this.monitor.checked(done.id, done.result, this.nowMs)
      }
      this.monitor.grow(this.nowMs)
      for (let target = this.monitor.takeDue(this.nowMs); target !== undefined; target = this.monitor.takeDue(this.nowMs)) {
        const result = this.finds(target)
        this.begun.push({ id: target.id, atMs: this.nowMs })
        this.#underWay.push({ id: target.id, result, atMs: this.nowMs + (result === silent ? spec.timeoutMs : stepMs) })
      }
      for (const update of this.monitor.takeUpdates()) this.updates.push({ ...update, atMs: this.nowMs })
    }
  }

  get transitions(): (HealthUpdate & { readonly atMs: number })[] {
    return this.updates.filter(({ transition }) => transition !== undefined)
  }

  /** Ids that are down by what was told. */
  get down(): number[] {
    const last = new Map(this.updates.map(({ id, isDown }) => [id, isDown]))
    return [...last].filter(([, isDown]) => isDown).map(([id]) => id).toSorted((left, right) => left - right)
  }

  #random(): number {
    this.#seed = Math.imul(this.#seed ^ (this.#seed >>> 15), 0x2c1b3c6d) + 0x9e3779b9 | 0
    return (this.#seed >>> 0) / 2 ** 32
  }
}

void test('an endpoint is down after fall failures in a row, and ready after rise successes', async (t) => {
  const world = new World()
  world.run(60_000)
  t.same(world.transitions, [])
  t.ok(world.begun.length >= 6 && world.begun.length <= 8, `a check each ten seconds: ${world.begun.length} in a minute`)
  world.finds = () => refused
  const fellMs = world.nowMs
  world.run(30_000)
  const [down] = world.transitions
  t.match(down, { isDown: true, why: 'connection refused', transition: 'checks' })
  t.ok((down?.atMs ?? Infinity) - fellMs <= 11_100 + 2 * 1_200, `an interval, then two checks that come faster: ${(down?.atMs ?? 0) - fellMs} ms`)
  world.finds = () => passed
  world.run(20_000)
  t.match(world.transitions[1], { isDown: false, why: 'connection accepted', parts: 256 })
})

void test('a failure now and then changes nothing', async (t) => {
  const world = new World()
  let checks = 0
  world.finds = () => ++checks % 3 === 0 ? passed : refused
  world.run(600_000)
  t.same(world.transitions, [])
})

void test('what could not be checked for reasons of our own is no failure', async (t) => {
  const world = new World()
  world.finds = () => ({ kind: 'void', why: 'connect: EMFILE' })
  world.run(120_000)
  t.same(world.transitions, [])
  t.match(world.updates[0], { why: 'connect: EMFILE', isDown: false })
})

void test('checks of many are spread evenly, from the first ones on, and each comes once an interval', async (t) => {
  const world = new World({ addresses: 100, ports: 50 })
  world.run(60_000)
  const bySecond = Array.from({ length: 60 }, () => 0)
  for (const { atMs } of world.begun) bySecond[Math.floor(atMs / 1_000)] = (bySecond[Math.floor(atMs / 1_000)] ?? 0) + 1
  t.ok(Math.max(...bySecond.slice(20)) <= 750, `500 a second is the mean, ${Math.max(...bySecond.slice(20))} the most`)
  t.ok(Math.min(...bySecond.slice(20, 59)) >= 250, `${Math.min(...bySecond.slice(20, 59))} the least`)
  t.equal(new Set(world.begun.filter(({ atMs }) => atMs < 10_100).map(({ id }) => id)).size, 5_000, 'all are checked within an interval')
})

void test('however many are due, checks have a pace of their own, and none is forgotten', async (t) => {
  const world = new World({ addresses: 50, ports: 20, checksPerSecondMax: 50 })
  world.run(60_000)
  t.ok(world.begun.length <= 60 * 50 + 50, String(world.begun.length))
  t.equal(new Set(world.begun.map(({ id }) => id)).size, 1_000)
})

void test('a dial that failed brings a check at once; dials alone take nobody out', async (t) => {
  const world = new World()
  world.run(20_000)
  const before = world.begun.length
  for (let dial = 0; dial < 50; dial++) {
    world.monitor.clientFailed(1, 'dial', world.nowMs)
    world.run(50)
  }
  t.same(world.transitions, [])
  t.ok(world.begun.length - before >= 5 && world.begun.length - before <= 12, `${world.begun.length - before} checks in 2.5 s`)
  world.finds = () => refused
  const fellMs = world.nowMs
  for (let dial = 0; dial < 3; dial++) {
    world.monitor.clientFailed(1, 'dial', world.nowMs)
    world.run(300)
  }
  t.ok((world.transitions[0]?.atMs ?? Infinity) - fellMs <= 500, 'two strikes of dials, the last one of a check')
})

void test('a client’s connection to one that is down brings a check at once; clients alone bring nobody back', async (t) => {
  const world = new World({ health: { intervalMs: 600_000, rise: 3 } })
  world.finds = () => refused
  world.run(5_000)
  for (let dial = 0; dial < 2; dial++) world.monitor.clientFailed(1, 'dial', world.nowMs)
  world.run(600_000)
  t.same(world.down, [1])
  const before = world.begun.length
  for (let dial = 0; dial < 50; dial++) {
    world.monitor.clientConnected(1, world.nowMs)
    world.run(50)
  }
  t.same(world.down, [1])
  t.ok(world.begun.length - before >= 5 && world.begun.length - before <= 12, `${world.begun.length - before} checks in 2.5 s`)
  world.finds = () => passed
  const backMs = world.nowMs
  world.monitor.clientConnected(1, world.nowMs)
  world.monitor.clientConnected(1, world.nowMs)
  world.run(1_000)
  t.same(world.down, [])
  t.ok((world.transitions.at(-1)?.atMs ?? Infinity) - backMs <= 500, 'two of clients, the last one of a check, and not an interval later')
})

void test('where a check asks for more than a connection, a client’s tells nothing', async (t) => {
  for (const kind of ['tls', 'readyz'] as const) {
    const world = new World({ health: { kind, intervalMs: 60_000 } })
    world.finds = () => refused
    world.run(200_000)
    const before = world.begun.length
    for (let dial = 0; dial < 20; dial++) {
      world.monitor.clientConnected(1, world.nowMs)
      world.run(50)
    }
    t.ok(world.begun.length - before <= 1, kind)
  }
})

void test('one that accepts and does not answer is asked for a handshake, and what a check of kind tcp says does not clear it', async (t) => {
  const world = new World()
  const stopped: CheckResult = { kind: 'failed', why: 'no TLS handshake in 3000 ms' }
  const kinds: (string | undefined)[] = []
  world.finds = ({ health }) => {
    kinds.push(health?.kind)
    return passed
  }
  world.run(20_000)
  t.same(new Set(kinds), new Set(['tcp']))
  world.finds = ({ health }) => health?.kind === 'tls' ? stopped : passed
  const stoppedMs = world.nowMs
  world.monitor.clientFailed(1, 'answer', world.nowMs)
  world.run(60_000)
  t.match(world.transitions, [{ isDown: true, why: 'no TLS handshake in 3000 ms' }])
  t.ok((world.transitions[0]?.atMs ?? Infinity) - stoppedMs < 5_000)
  world.finds = ({ health }) => {
    kinds.push(health?.kind)
    return passed
  }
  world.run(30_000)
  t.match(world.transitions[1], { isDown: false })
  t.equal(kinds.at(-1), 'tcp', 'and then as before')
})

void test('a client’s failure while a check was under way is not cleared by that check', async (t) => {
  const world = new World()
  const target = world.monitor.takeDue(200)
  if (target === undefined) return
  world.monitor.clientFailed(1, 'answer', 200)
  world.monitor.checked(1, passed, 210)
  t.equal(world.monitor.takeDue(2_000)?.health?.kind, 'tls')
})

void test('an address that is gone takes all its ports with it, as soon as eight of them have failed', async (t) => {
  const world = new World({ addresses: 20, ports: 50 })
  world.run(30_000)
  const fellMs = world.nowMs
  world.finds = ({ address }) => address === '192.0.2.3' ? silent : passed
  world.run(20_000)
  const gone = world.targets.filter(({ address }) => address === '192.0.2.3').map(({ id }) => id)
  t.same(world.down, gone)
  const lastMs = Math.max(...world.transitions.map(({ atMs }) => atMs))
  t.ok(lastMs - fellMs <= 2 * spec.timeoutMs + 2_000, `two timeouts: ${lastMs - fellMs} ms, where a port alone takes up to 23 s`)
  t.match(world.transitions.find(({ transition }) => transition === 'node')?.why, /^8 ports of 192\.0\.2\.3 failed together: no connection/)
  t.equal(world.monitor.figures.nodesDown, 1)
  world.run(60_000)
  world.finds = () => passed
  const backMs = world.nowMs
  world.run(20_000)
  t.same(world.down, [])
  const backByMs = Math.max(...world.transitions.map(({ atMs }) => atMs)) - backMs
  t.ok(backByMs <= spec.timeoutMs + 3_000, `the first success brings the others, and a check that was under way is made again: ${backByMs} ms`)
})

void test('some ports of an address that are down are not the address', async (t) => {
  const world = new World({ addresses: 4, ports: 50 })
  world.run(30_000)
  world.finds = ({ address, port }) => address === '192.0.2.1' && port < 7 ? refused : passed
  world.run(120_000)
  t.equal(world.down.length, 7)
  t.ok(world.transitions.every(({ transition }) => transition === 'checks'))
})

void test('new ports of an address where nothing listens yet are not the address', async (t) => {
  const world = new World({ addresses: 2, ports: 10 })
  world.run(30_000)
  world.finds = ({ port }) => port >= 100 ? refused : passed
  world.monitor.add(Array.from({ length: 200 }, (_, index) => ({ id: 1_000 + index, address: '192.0.2.1', port: 100 + index, health: spec })), world.nowMs)
  world.run(30_000)
  t.equal(world.down.length, 200)
  t.ok(world.transitions.every(({ transition, id }) => transition === 'checks' && id >= 1_000))
})

void test('where most addresses seem to be gone it is rather us: half of them fall at once, the others by each port’s own checks', async (t) => {
  const world = new World({ addresses: 10, ports: 10 })
  world.run(30_000)
  const fellMs = world.nowMs
  world.finds = () => silent
  world.run(60_000)
  t.equal(world.monitor.figures.nodesDown, 5)
  t.equal(world.down.length, 100)
  const byNode = world.transitions.filter(({ transition }) => transition === 'node').length
  t.ok(byNode > 0 && byNode <= 50, String(byNode))
  t.ok(Math.max(...world.transitions.map(({ atMs }) => atMs)) - fellMs <= 30_000, 'fall times the interval')
})

void test('a slow start gives an endpoint its weight in sixteen steps; the first one of all has it at once', async (t) => {
  const world = new World({ health: { slowStartMs: 16_000 } })
  world.run(20_000)
  world.finds = () => refused
  world.run(30_000)
  world.finds = () => passed
  world.run(60_000)
  const parts = world.updates.slice(world.updates.findIndex(({ isDown }) => isDown)).filter(({ isDown }) => !isDown).map((update) => update.parts)
  t.same(parts, Array.from({ length: 16 }, (_, index) => 16 * (index + 1)))
  const [first, last] = [world.updates.find(({ parts: its }) => its === 16), world.updates.at(-1)]
  t.ok(Math.abs((last?.atMs ?? 0) - (first?.atMs ?? 0) - 15_000) < 100)
})

void test('one that is gone is checked no more; one that comes while its address is down falls with its first failure', async (t) => {
  const world = new World({ addresses: 2, ports: 10 })
  world.run(15_000)
  world.finds = ({ address }) => address === '192.0.2.0' ? refused : passed
  world.run(30_000)
  t.equal(world.down.length, 10)
  world.monitor.remove([1], world.nowMs)
  const before = world.begun.length
  world.monitor.add([{ id: 99, address: '192.0.2.0', port: 999, health: spec }], world.nowMs)
  world.run(30_000)
  t.notOk(world.begun.slice(before).some(({ id }) => id === 1))
  t.match(world.transitions.filter(({ id }) => id === 99), [{ isDown: true, transition: 'node' }])
})

void test('what was known to be down is so from the start, until it rises', async (t) => {
  const world = new World()
  world.monitor.add([{ id: 7, address: '192.0.2.77', port: 1, health: spec }], 0, new Set([7]))
  world.finds = ({ id }) => id === 7 ? refused : passed
  world.run(30_000)
  t.match(world.updates.filter(({ id }) => id === 7), [{ isDown: true, why: 'connection refused' }])
  world.finds = () => passed
  world.run(30_000)
  t.same(world.down, [])
})

void test('more targets than there is room for are counted, not checked', async (t) => {
  const monitor = new HealthMonitor({ nowMs: 0, random: () => 0.5, targetsMax: 2 })
  const target = (id: number): CheckTarget => ({ id, address: '192.0.2.1', port: id, health: spec })
  monitor.add([1, 2, 3, 4].map(target), 0)
  t.match(monitor.figures, { checked: 2, unchecked: 2 })
  monitor.remove([1], 0)
  t.match(monitor.figures, { checked: 2, unchecked: 1 }, 'the next one has its place')
  monitor.add([target(5)], 0)
  t.match(monitor.figures, { checked: 2, unchecked: 2 })
  monitor.remove([2, 3, 4], 0)
  t.match(monitor.figures, { checked: 1, unchecked: 0 })
  t.same([monitor.takeDue(1_000)?.id, monitor.takeDue(1_000)], [5, undefined])
})

void test('whatever is found, what is told is what fall and rise say, and soon after the world stands still all is told as it is', async () => {
  const world = fc.record({ addresses: fc.integer({ min: 1, max: 6 }), ports: fc.integer({ min: 1, max: 12 }), seed: fc.integer({ min: 1 }) })
  const change = fc.record({ afterMs: fc.integer({ min: 10, max: 20_000 }), address: fc.nat(5), ports: fc.nat(12), result: fc.constantFrom(passed, refused, silent), dials: fc.nat(3), reached: fc.boolean() })
  fc.assert(fc.property(world, fc.array(change, { maxLength: 12 }), (options, changes) => {
    const made = new World({ ...options, health: { intervalMs: 2_000 } })
    const state = new Map<number, CheckResult>()
    made.finds = ({ id }) => state.get(id) ?? passed
    for (const { afterMs, address, ports, result, dials, reached } of changes) {
      made.run(Math.ceil(afterMs / stepMs) * stepMs)
      for (const { id, address: its, port } of made.targets) if (its === `192.0.2.${address}` && port < ports) state.set(id, result)
      for (let dial = 0; dial < dials; dial++) made.monitor.clientFailed(1 + address, dials === 3 ? 'answer' : 'dial', made.nowMs)
      if (reached) made.monitor.clientConnected(1 + address, made.nowMs)
    }
    made.run(30_000)
    const expected = made.targets.filter(({ id }) => (state.get(id) ?? passed) !== passed).map(({ id }) => id)
    const alternates = made.targets.every(({ id }) => made.transitions.filter((each) => each.id === id).every(({ isDown }, index) => isDown === (index % 2 === 0)))
    return alternates && made.down.length === expected.length && made.down.every((id, index) => id === expected[index])
  }), { numRuns: 60 })
})
