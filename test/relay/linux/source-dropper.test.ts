// Sources that go on over their rate, with real listeners and the kernel's own filter. On loopback a SYN is answered, or thrown away,
// before connect(2) returns.

import { test } from '../../support/linux-only.ts'
import { spawnSync } from 'node:child_process'
import { readdirSync } from 'node:fs'
import { connect } from 'node:net'
import { fileURLToPath } from 'node:url'
import type { Test } from 'tap'
import { relayCell, createRelayCells } from '../../../src/core/relay-cells.ts'
import { droppedSourcesMax } from '../../../src/core/limit/source-drops.ts'
import { paceOf } from '../../../src/core/limit/shared-pace.ts'
import { SourceKey } from '../../../src/core/net/source-key.ts'
import * as libc from '../../../src/relay/linux/libc.ts'
import { closeAll, openListeningSockets } from '../../../src/relay/linux/listening-sockets.ts'
import { SocketAddressCell } from '../../../src/relay/linux/socket-address.ts'
import { SourceDropper } from '../../../src/relay/linux/source-dropper.ts'
import { buildClientHello } from '../../core/tls/hello-builder.ts'
import { endpoint, tenant } from '../../support/config.ts'
import { startLinuxRelay, type LinuxRelay } from '../../support/linux-driver.ts'
import { readBytes, startEcho, until } from '../../support/sockets.ts'

const hello = Buffer.from(buildClientHello({ serverName: 'acme.example.test' }))
/** The number of a socket's filter's instructions, or EINVAL where there is not room for them (socket(7)). */
const SO_GET_FILTER = 26
/** <asm-generic/socket.h> */
const SO_ACCEPTCONN = 30

const remote = new SocketAddressCell()
const local = new SocketAddressCell()

/** Comes and says its hello. @returns whether its SYN was answered */
function knock(t: Test, port: number, { from, to = from.includes(':') ? '::1' : '127.0.0.1' }: { readonly from: string; readonly to?: string }): boolean {
  const fd = libc.check(libc.socket(from.includes(':') ? libc.AF_INET6 : libc.AF_INET, libc.SOCK_STREAM | libc.SOCK_NONBLOCK | libc.SOCK_CLOEXEC, 0), 'socket')
  libc.check(libc.bind(fd, local.address, local.encode({ address: from, port: 0 }) ?? 0), 'bind')
  libc.connect(fd, remote.address, remote.encode({ address: to, port }) ?? 0)
  const isKnown = libc.send(fd, remote.address, 1, libc.MSG_NOSIGNAL) !== -1 || libc.errno() !== libc.EAGAIN
  // One that was not answered would come again.
  if (isKnown) t.teardown(() => libc.close(fd))
  else libc.close(fd)
  return isKnown
}

async function isAnswered(t: Test, port: number, localAddress: string): Promise<boolean> {
  const socket = connect({ port, host: localAddress.includes(':') ? '::1' : '127.0.0.1', localAddress, noDelay: true })
  t.teardown(() => void socket.destroy())
  socket.on('error', () => undefined)
  socket.write(hello)
  return await readBytes(socket, hello.length).then((bytes) => bytes.equals(hello), () => false)
}

function hasFilter(fd: number): boolean {
  try {
    return libc.getIntOption(fd, libc.SOL_SOCKET, SO_GET_FILTER) !== 0
  } catch {
    return true
  }
}

/** This process's sockets that are bound to the port, as the driver's listening and accepted ones are. */
function socketsAt(port: number): { readonly fd: number; readonly isListening: boolean }[] {
  return readdirSync('/proc/self/fd').map(Number).flatMap((fd) => {
    local.expect()
    if (libc.getsockname(fd, local.address, local.lengthAddress) === -1 || local.port !== port) return []
    return [{ fd, isListening: libc.getIntOption(fd, libc.SOL_SOCKET, SO_ACCEPTCONN) === 1 }]
  })
}

const filtersAt = (port: number): number => socketsAt(port).filter(({ fd }) => hasFilter(fd)).length

/** Long periods; the first connection of each source is within its rate. */
const patient = { sourceRate: { perSecond: 1, burst: 60 }, sourceExcess: 'drop' } as const
const rule = { pace: paceOf({ perSecond: 20, burst: 20 }), bans: false }
const brief = { sourceRate: { perSecond: 1_000, burst: 1 }, sourceExcess: 'drop' } as const

async function startPlace(t: Test, limits: Parameters<typeof startLinuxRelay>[1]['listener'], workers = 1): Promise<LinuxRelay> {
  const echo = await startEcho(t)
  return await startLinuxRelay(t, { workers, tenants: [tenant('acme', [endpoint(echo.port)])], ...(limits === undefined ? {} : { listener: limits }) })
}

/** Until its SYNs are thrown away, and none that was answered is in the queue. */
async function flood(t: Test, { port, driver, records }: LinuxRelay, from: string): Promise<void> {
  let answered = 0
  await until(() => {
    const known = Array.from({ length: 20 }, () => knock(t, port, { from })).filter(Boolean).length
    answered += known
    return known < 20
  })
  await until(() => records.length + driver.counters().openConnections >= answered)
}

void test('a source that goes on over its rate gets no answer, another one does, and then it is let in again', async (t) => {
  const relay = await startPlace(t, { limits: brief })
  await flood(t, relay, '127.0.0.2')
  t.ok(await isAnswered(t, relay.port, '127.0.0.3'))
  await until(() => knock(t, relay.port, { from: '127.0.0.2' }))
  await until(() => relay.driver.counters().sourcesDropped === 0)
  await until(() => filtersAt(relay.port) === 0)
  t.match(relay.driver.counters(), { sourceDropsMissed: 0 })
  t.ok(Number(relay.driver.counters().sourceDrops) > 0)
  // One that is accepted together with the knock that came before it is over the rate again.
  while (!await isAnswered(t, relay.port, '127.0.0.2'));
})

void test('one that is accepted meanwhile has no filter', async (t) => {
  const relay = await startPlace(t, { limits: patient })
  await flood(t, relay, '127.0.0.2')
  t.ok(await isAnswered(t, relay.port, '127.0.0.3'))
  const sockets = socketsAt(relay.port)
  t.ok(sockets.some(({ isListening }) => !isListening))
  t.same(sockets.filter(({ isListening }) => !isListening).filter(({ fd }) => hasFilter(fd)), [])
})

for (const [what, its] of [
  ['without limits', {}],
  ['with another rate', { limits: { ...patient, sourceRate: { perSecond: 2, burst: 60 } } }],
  ['that resets', { limits: { ...patient, sourceExcess: 'reset' } }],
  ['behind a balancer', { limits: patient, proxyProtocol: { trustedSources: ['127.0.0.0/8'] } }],
] as const) {
  void test(`a reload that leaves the listener ${what} lets all in at once`, async (t) => {
    const relay = await startPlace(t, { limits: patient })
    await flood(t, relay, '127.0.0.2')
    await relay.publish([], its)
    t.equal(relay.driver.counters().sourcesDropped, 0)
    t.same(socketsAt(relay.port).filter(({ fd, isListening }) => isListening && hasFilter(fd)), [])
    t.ok(knock(t, relay.port, { from: '127.0.0.2' }))
  })
}

for (const [what, its] of [
  ['that resets', { limits: { ...brief, sourceExcess: 'reset' } }],
  ['behind a balancer, which the SYNs are from', { limits: brief, proxyProtocol: { trustedSources: ['192.0.2.1/32'] } }],
] as const) {
  void test(`a listener ${what} drops nobody`, async (t) => {
    const relay = await startPlace(t, its)
    for (let turn = 1; turn <= 10; turn++) {
      t.ok(Array.from({ length: 10 }, () => knock(t, relay.port, { from: '127.0.0.2' })).every(Boolean))
      await until(() => relay.records.length >= 10 * turn - 9)
    }
    t.match(relay.driver.counters(), { sourceDrops: 0, sourcesDropped: 0 })
    t.equal(filtersAt(relay.port), 0)
  })
}

void test('the one that takes a dead worker’s place begins without its filter', async (t) => {
  const relay = await startPlace(t, { limits: patient })
  await flood(t, relay, '127.0.0.2')
  await relay.driver.crashWorker(0)
  t.equal(filtersAt(relay.port), 0)
  t.equal(relay.driver.counters().sourcesDropped, 0)
  t.ok(knock(t, relay.port, { from: '127.0.0.2' }))
})

void test('each worker throws away for its own socket', async (t) => {
  const relay = await startPlace(t, { limits: patient }, 3)
  await until(() => {
    for (let each = 0; each < 50; each++) knock(t, relay.port, { from: '127.0.0.2' })
    return relay.driver.counters().sourcesDropped === 3
  })
  t.ok(await isAnswered(t, relay.port, '127.0.0.3'))
})

interface Place {
  readonly port: number
  readonly fd: number
  readonly clock: { nowMs: number }
  readonly cells: ReturnType<typeof createRelayCells>
  readonly dropper: SourceDropper
  readonly failures: string[]
  /** Refused until the dropper says that it is dropped. */
  readonly drop: (address: string) => void
  readonly accept: () => number
}

/** A listening socket without a worker. */
function startDropper(t: Test, address = '127.0.0.1', fdOf = (fd: number): number => fd): Place {
  const { fds, bound } = openListeningSockets({ address, port: 0 }, { ipv6Only: false }, 1)
  t.teardown(() => closeAll(fds))
  const fd = fds[0] ?? -1
  const clock = { nowMs: 5_000 }
  const cells = createRelayCells()
  const failures: string[] = []
  const dropper = new SourceDropper(fdOf(fd), { clock, cells, failed: (error) => void failures.push(error.message) })
  return {
    port: bound.port, fd, clock, cells, dropper, failures,
    drop: (source) => {
      for (let refusals = 0; refusals < 20 && dropper.refused(new SourceKey().setText(source), rule) === undefined; refusals++);
    },
    accept: () => libc.check(libc.accept4(fd, 0, 0, libc.SOCK_CLOEXEC), 'accept4'),
  }
}

void test('a dual-stack listener drops IPv4 sources and networks of IPv6', async (t) => {
  const { dropper, port, drop, clock } = startDropper(t, '::')
  drop('127.0.0.2')
  dropper.finishTurn()
  t.notOk(knock(t, port, { from: '127.0.0.2' }))
  t.ok(knock(t, port, { from: '127.0.0.3' }))
  t.ok(knock(t, port, { from: '::1' }))
  drop('::5:6')
  clock.nowMs += dropper.waitMs
  dropper.finishTurn()
  t.notOk(knock(t, port, { from: '::1' }), 'of the same /64')
  t.notOk(knock(t, port, { from: '127.0.0.2' }))
  t.ok(knock(t, port, { from: '127.0.0.3' }))
})

void test('it goes on where a reload leaves the rate as it is', async (t) => {
  const { dropper, port, drop, cells } = startDropper(t)
  drop('127.0.0.2')
  dropper.finishTurn()
  dropper.follow({ pace: paceOf({ perSecond: 20, burst: 20 }), bans: false })
  t.notOk(knock(t, port, { from: '127.0.0.2' }))
  t.equal(cells[relayCell.sourcesDropped], 1)
  dropper.follow({ pace: paceOf({ perSecond: 20, burst: 21 }), bans: false })
  t.ok(knock(t, port, { from: '127.0.0.2' }))
  t.equal(cells[relayCell.sourcesDropped], 0)
  t.equal(dropper.waitMs, Infinity)
})

void test('a filter is made anew when somebody begins or ends, not more often than each 50 ms, and is gone with the last one', async (t) => {
  const { dropper, port, drop, clock, cells, fd } = startDropper(t)
  t.equal(dropper.waitMs, Infinity)
  drop('127.0.0.2')
  t.equal(dropper.waitMs, 0)
  dropper.finishTurn()
  drop('127.0.0.3')
  t.equal(dropper.waitMs, 50)
  clock.nowMs += 49
  dropper.finishTurn()
  t.ok(knock(t, port, { from: '127.0.0.3' }))
  clock.nowMs += dropper.waitMs
  dropper.finishTurn()
  t.same(['127.0.0.2', '127.0.0.3', '127.0.0.4'].map((from) => knock(t, port, { from })), [false, false, true])
  t.equal(cells[relayCell.sourcesDropped], 2)
  while (dropper.waitMs !== Infinity) {
    clock.nowMs += dropper.waitMs
    dropper.finishTurn()
  }
  t.equal(cells[relayCell.sourcesDropped], 0)
  t.equal(cells[relayCell.sourceDrops], 2)
  t.notOk(hasFilter(fd))
  t.ok(knock(t, port, { from: '127.0.0.2' }))
})

void test('accepted sockets may have the filter until the queue has been empty, some time after it went', async (t) => {
  const { dropper, port, drop, clock, accept } = startDropper(t)
  drop('127.0.0.2')
  dropper.finishTurn()
  knock(t, port, { from: '127.0.0.3' })
  dropper.close()
  dropper.emptied()
  t.ok(dropper.isInherited)
  const accepted = accept()
  t.ok(hasFilter(accepted))
  libc.detachFilter(accepted)
  t.notOk(hasFilter(accepted))
  libc.close(accepted)
  clock.nowMs += 100
  t.ok(dropper.isInherited)
  dropper.emptied()
  t.notOk(dropper.isInherited)
})

void test('a predecessor’s filter goes first', async (t) => {
  const { port, drop, dropper, fd, clock, cells } = startDropper(t)
  drop('127.0.0.2')
  dropper.finishTurn()
  t.notOk(knock(t, port, { from: '127.0.0.2' }))
  const successor = new SourceDropper(fd, { clock, cells, failed: () => undefined })
  t.ok(knock(t, port, { from: '127.0.0.2' }))
  t.ok(successor.isInherited)
})

void test('where the kernel takes no filter that is told once, and counted, and nobody is dropped', async (t) => {
  const { drop, dropper, failures, cells, clock } = startDropper(t, '127.0.0.1', () => -1)
  drop('127.0.0.2')
  dropper.finishTurn()
  t.match(failures, [/SO_ATTACH_FILTER: EBADF/])
  t.equal(cells[relayCell.sourceDropsMissed], 1)
  t.equal(cells[relayCell.sourcesDropped], 0)
  clock.nowMs += 1_000
  drop('127.0.0.3')
  dropper.finishTurn()
  t.equal(failures.length, 1)
  t.ok((cells[relayCell.sourceDropsMissed] ?? 0) > 1)
  t.equal(dropper.waitMs, Infinity)
})

/** A network namespace has a limit of its own. */
function withLittleRoom(...command: readonly string[]): ReturnType<typeof spawnSync> {
  return spawnSync('unshare', ['-n', 'sh', '-c', 'echo 20480 > /proc/sys/net/core/optmem_max && exec "$@"', 'sh', ...command], { encoding: 'utf8' })
}

void test('where a socket has room for a short filter only, as many are dropped as it takes', { skip: withLittleRoom('true').status === 0 ? false : 'this user may have no network namespace, or its kernel no limit for one' }, (t) => {
  const { stdout, stderr } = withLittleRoom(process.execPath, fileURLToPath(new URL('source-dropper-room.ts', import.meta.url)))
  t.equal(String(stderr), '')
  const { most, missed, later, failures }: { most: number; missed: number; later: number; failures: string[] } = JSON.parse(String(stdout))
  t.same(failures, [])
  t.ok(most >= 64 && most < droppedSourcesMax, `${most} were`)
  t.ok(missed > 0)
  t.equal(later, 1)
  t.end()
})
