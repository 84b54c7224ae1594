// A worker turn by turn, in the test's own thread: what a turn does, and in which order.

import { test } from '../../support/linux-only.ts'
import { setTimeout as delay } from 'node:timers/promises'
import { MessageChannel } from 'node:worker_threads'
import type { Test } from 'tap'
import { stepsPerSliceMax } from '../../../src/core/limit/setup-slice.ts'
import type { ProcessLimits } from '../../../src/core/limit/limits.ts'
import { ListenerTable } from '../../../src/core/listener-table.ts'
import { createRelayCells, relayCell } from '../../../src/core/relay-cells.ts'
import type { TenantSpec } from '../../../src/core/snapshot.ts'
import * as libc from '../../../src/relay/linux/libc.ts'
import { closeAll, openListeningSockets } from '../../../src/relay/linux/listening-sockets.ts'
import { RehearsalBackend } from '../../../src/relay/linux/rehearsal-peers.ts'
import { RelayWorker } from '../../../src/relay/linux/relay-worker.ts'
import { SocketAddressCell } from '../../../src/relay/linux/socket-address.ts'
import type { ToWorker, WorkerRequest } from '../../../src/relay/linux/worker-protocol.ts'
import { buildClientHello } from '../../core/tls/hello-builder.ts'
import { endpoint, tenant } from '../../support/config.ts'
import { relayWorkerData } from '../../support/relay-worker-data.ts'

const slots = 512
const hello = Buffer.from(buildClientHello({ serverName: 'acme.example.test' }))

interface Client {
  readonly send: (bytes: Uint8Array) => void
  /** @returns all that has come */
  readonly receive: () => Buffer
  readonly end: () => void
  readonly reset: () => void
}

interface Place {
  readonly turn: () => void
  /** The backend answers what has come. */
  readonly answer: () => void
  readonly connect: () => Client
  readonly open: () => number
  /** The worker is told, and has its turn. */
  readonly request: (wanted: WorkerRequest) => void
  readonly reasons: string[]
}

function startPlace(t: Test, { limits = {}, helloTimeoutMs = 60_000, overrides = {} }: { readonly limits?: ProcessLimits; readonly helloTimeoutMs?: number; readonly overrides?: Partial<TenantSpec> } = {}): Place {
  const listen = (): { readonly fd: number; readonly port: number } => {
    const { fds, bound } = openListeningSockets({ address: '127.0.0.1', port: 0 }, { ipv6Only: false }, 1)
    t.teardown(() => closeAll(fds))
    return { fd: fds[0] ?? -1, port: bound.port }
  }
  const [front, back] = [listen(), listen()]
  const listenerTable = new ListenerTable()
  listenerTable.add('main')
  const { port1, port2 } = new MessageChannel()
  const wakeFd = libc.check(libc.eventfd(0, libc.EFD_NONBLOCK | libc.EFD_CLOEXEC), 'eventfd')
  const [cells, reasons] = [createRelayCells(), [] as string[]]
  const worker = new RelayWorker(relayWorkerData({ slots, wakeFd, port: port2, listenerTable: listenerTable.buffer, cells: [cells] }), () => undefined, { connectionEnded: ({ reason }) => reasons.push(reason), flushIfDue: () => Infinity, flush: () => undefined })
  const backend = new RehearsalBackend(back.fd)
  const [address, buffer] = [new SocketAddressCell(), libc.allocate(64 * 1024)]
  t.teardown(() => {
    worker.close('gateway-stopped')
    backend.close()
    port1.close()
    libc.close(wakeFd)
  })
  const request = (wanted: WorkerRequest): void => {
    port1.postMessage({ kind: 'request', number: 1, request: wanted } satisfies ToWorker)
    buffer.bytes.fill(1, 0, 8)
    libc.write(wakeFd, buffer.address, 8)
    worker.turn(0)
  }
  request({ kind: 'publish', changes: [{ version: 1, listeners: [{ name: 'main', helloTimeoutMs, limitRow: 0 }], limits, tenants: [{ ...tenant('acme', [endpoint(back.port)], overrides), limitRow: 0 }], removedTenants: 'all-others' }] })
  request({ kind: 'listen', listener: 'main', fd: front.fd })
  return {
    reasons, request,
    turn: () => worker.turn(0),
    answer: () => backend.step(),
    open: () => cells[relayCell.openConnections] ?? 0,
    connect: () => {
      const fd = libc.check(libc.socket(libc.AF_INET, libc.SOCK_STREAM | libc.SOCK_CLOEXEC, 0), 'socket')
      address.encode({ address: '127.0.0.1', port: front.port })
      libc.check(libc.connect(fd, address.address, libc.sockaddrInBytes), 'connect')
      let open = true
      const close = (): void => {
        if (open) libc.close(fd)
        open = false
      }
      t.teardown(close)
      return {
        send: (bytes) => {
          buffer.bytes.set(bytes)
          libc.check(libc.send(fd, buffer.address, bytes.length, libc.MSG_NOSIGNAL), 'send')
        },
        receive: () => Buffer.from(buffer.bytes.subarray(0, Math.max(0, libc.recv(fd, buffer.address, 64 * 1024, libc.MSG_DONTWAIT)))),
        end: () => void libc.shutdown(fd, libc.SHUT_WR),
        reset: () => {
          libc.setResetOnClose(fd)
          close()
        },
      }
    },
  }
}

/** @returns it, with its hello echoed */
function relayed(t: Test, place: Place): Client {
  const client = place.connect()
  client.send(hello)
  echoed(t, place, client)
  return client
}

function echoed(t: Test, { turn, answer }: Place, client: Client): void {
  let received = Buffer.alloc(0)
  for (let rounds = 0; received.length < hello.length && rounds < 1_000; rounds++) {
    turn()
    answer()
    received = Buffer.concat([received, client.receive()])
  }
  t.same(received, hello)
}

void test('in a storm bytes cross in the turn in which they come, and each turn has a slice of the storm', async (t) => {
  const place = startPlace(t)
  const steady = relayed(t, place)
  const [message, crowd] = [Buffer.from('message'), Array.from({ length: 200 }, () => place.connect())]
  for (const client of crowd) client.send(hello)
  const turn = (): void => {
    const before = place.open()
    place.turn()
    t.ok(place.open() - before <= stepsPerSliceMax, `${place.open() - before} in one turn`)
  }
  for (let rounds = 0; place.open() < crowd.length + 1 && rounds < 1_000; rounds++) {
    steady.send(message)
    turn()
    place.answer()
    turn()
    t.same(steady.receive(), message)
  }
  t.equal(place.open(), crowd.length + 1)
})

void test('hellos that have come in time are not late because the worker was held up, though more wait than a slice has steps; one that has not come, or not whole, is', async (t) => {
  const place = startPlace(t, { helloTimeoutMs: 1_000 })
  const crowd = Array.from({ length: 100 }, () => place.connect())
  const [, partial] = [place.connect(), place.connect()]
  while (place.open() < crowd.length + 2) place.turn()
  for (const client of crowd) client.send(hello)
  partial.send(hello.subarray(0, 100))
  await delay(1_200)
  for (const client of crowd) echoed(t, place, client)
  while (place.reasons.length < 2) place.turn()
  t.same(place.reasons, ['hello-timeout', 'hello-timeout'])
})

void test('the last bytes and the FIN of a connection that is relayed are not late either', async (t) => {
  const place = startPlace(t, { overrides: { idleTimeoutMs: 1_000 } })
  const client = relayed(t, place)
  client.send(Buffer.from('last'))
  client.end()
  await delay(1_200)
  let received = ''
  while (place.open() > 0) {
    place.turn()
    place.answer()
    received += client.receive().toString()
  }
  t.equal(received + client.receive().toString(), 'last')
  t.same(place.reasons, ['completed'])
})

void test('of those whose events wait none is forgotten', async (t) => {
  const place = startPlace(t)
  const crowd = Array.from({ length: 200 }, () => place.connect())
  const echoed = crowd.map(() => Buffer.alloc(0))
  // A hello in two pieces, so that there is an event for the second; and FIN behind it.
  for (const client of crowd) client.send(hello.subarray(0, 1))
  for (const client of crowd) {
    client.send(hello.subarray(1))
    client.end()
  }
  for (let rounds = 0; place.reasons.length < crowd.length && rounds < 1_000; rounds++) {
    place.turn()
    place.answer()
    for (const [index, client] of crowd.entries()) echoed[index] = Buffer.concat([echoed[index] ?? Buffer.alloc(0), client.receive()])
  }
  t.same(new Set(place.reasons), new Set(['completed']))
  t.equal(place.reasons.length, crowd.length)
  for (const [index, client] of crowd.entries()) echoed[index] = Buffer.concat([echoed[index] ?? Buffer.alloc(0), client.receive()])
  t.ok(echoed.every((each) => each.equals(hello)))
})

void test('what a client sends while it is dialled for crosses once and in order, beyond what a further attempt could replay', async (t) => {
  const place = startPlace(t)
  const sent = Buffer.from(Uint16Array.from({ length: 100_000 }, (_, index) => index).buffer)
  // From some 64 KiB on it is not read while it is dialled for.
  for (const early of [0, 20_000, 100_000]) {
    const client = place.connect()
    const send = (from: number, to: number): void => {
      for (let at = from; at < to; at += 20_000) client.send(sent.subarray(at, Math.min(to, at + 20_000)))
    }
    client.send(hello)
    send(0, early)
    place.turn()
    send(early, sent.length)
    let echoed = Buffer.alloc(0)
    for (let rounds = 0; echoed.length < hello.length + sent.length && rounds < 1_000; rounds++) {
      place.turn()
      place.answer()
      echoed = Buffer.concat([echoed, client.receive()])
    }
    t.ok(echoed.equals(Buffer.concat([hello, sent])), `${early} bytes with the hello`)
  }
})

void test('those that give up while their events wait leave nothing to the next ones in their places', async (t) => {
  const place = startPlace(t)
  for (let rounds = 0; rounds < 5; rounds++) {
    const crowd = Array.from({ length: 100 }, () => place.connect())
    for (const client of crowd) client.send(hello)
    place.turn()
    for (const client of crowd) client.reset()
    for (let turns = 0; place.open() > 0 || turns < 10; turns++) {
      place.turn()
      place.answer()
      if (turns > 1_000) break
    }
    t.equal(place.open(), 0)
    relayed(t, place).reset()
  }
})

void test('those that are accepted together keep to the process’s pace as if one came after the other: none is refused that may wait', async (t) => {
  for (const burst of [1, 4, 8]) {
    const place = startPlace(t, { limits: { rate: { perSecond: 200, burst } } })
    const crowd = Array.from({ length: 12 }, () => place.connect())
    for (const client of crowd) client.send(hello)
    for (let rounds = 0; place.open() + place.reasons.length < crowd.length && rounds < 1_000_000; rounds++) place.turn()
    t.same(place.reasons, [], `a burst of ${burst}`)
    t.equal(place.open(), crowd.length)
  }
})

void test('a listener that leaves takes its whole queue along, though few at a time may be before their hello', async (t) => {
  const place = startPlace(t, { limits: { helloConnectionsMax: 8 } })
  const crowd = Array.from({ length: 100 }, () => place.connect())
  for (const client of crowd) client.send(hello)
  place.request({ kind: 'unlisten', listener: 'main' })
  t.same(place.reasons, [])
  t.equal(place.open(), crowd.length)
})
