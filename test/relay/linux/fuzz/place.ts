// A worker in the test's own thread, with listeners, tenants and endpoints of every kind, and whatever it tells.

import { MessageChannel, type MessagePort } from 'node:worker_threads'
import { createActiveCells } from '../../../../src/core/balance/active-counts.ts'
import { EndpointRows } from '../../../../src/core/balance/endpoint-rows.ts'
import type { ConnectionRecord } from '../../../../src/core/connection-record.ts'
import { createAdmissionTables, processCell } from '../../../../src/core/limit/admission-tables.ts'
import { LimitRows } from '../../../../src/core/limit/limit-rows.ts'
import { ListenerTable } from '../../../../src/core/listener-table.ts'
import { createRelayCells, relayCell } from '../../../../src/core/relay-cells.ts'
import type { SnapshotChange } from '../../../../src/core/snapshot.ts'
import * as libc from '../../../../src/relay/linux/libc.ts'
import { closeAll, openListeningSockets } from '../../../../src/relay/linux/listening-sockets.ts'
import { RelayWorker } from '../../../../src/relay/linux/relay-worker.ts'
import type { Dial, FromWorker, ToWorker, WorkerRequest } from '../../../../src/relay/linux/worker-protocol.ts'
import type { Random } from '../../../soak/faults/random.ts'
import { changeOf, endpoint, listener, tenant } from '../../../support/config.ts'
import { relayWorkerData } from '../../../support/relay-worker-data.ts'
import { FuzzFault, type ClientKind } from './peers.ts'

interface Listening {
  readonly fd: number
  readonly port: number
}

const endpointsName = 'api.example.test'

export class FuzzPlace {
  readonly records: ConnectionRecord[] = []
  /** What was read of connections that were handed over. */
  readonly heads: Uint8Array[] = []
  readonly slots: number
  readonly backend: Listening
  readonly #random: Random
  readonly #fronts: Readonly<Record<'main' | 'proxy' | 'raw', Listening>>
  readonly #worker: RelayWorker
  readonly #cells = createRelayCells()
  readonly #active = createActiveCells(1)
  readonly #admission: ReturnType<typeof createAdmissionTables>
  readonly #port: MessagePort
  readonly #wakeFd = libc.check(libc.eventfd(0, libc.EFD_NONBLOCK | libc.EFD_CLOEXEC), 'eventfd')
  readonly #one = libc.allocate(8)
  #asked: Dial[] = []
  #number = 0

  constructor(random: Random, kernelLane: 'off' | 'always') {
    this.#random = random
    // Some have more in set-up at one time than hellos that stay where they were read.
    this.slots = random.integer(8, random.chance(0.3) ? 256 : 64)
    this.#one.bytes[0] = 1
    this.#fronts = { main: listen(), proxy: listen(), raw: listen() }
    this.backend = listen()
    this.#admission = createAdmissionTables({ connectionsMax: this.slots, listenerRows: 8, tenantRows: 8, holds: [this.slots], seeds: [1, 2] })
    const listenerTable = new ListenerTable()
    for (const name of Object.keys(this.#fronts)) listenerTable.add(name)
    const { port1, port2 } = new MessageChannel()
    this.#port = port1
    this.#worker = new RelayWorker(relayWorkerData({
      slots: this.slots, pipes: 2, wakeFd: this.#wakeFd, port: port2, listenerTable: listenerTable.buffer, kernelLane, handsOver: random.chance(0.7),
      cells: [this.#cells], active: this.#active, admission: this.#admission,
    }), (message) => this.#told(message), { connectionEnded: (record) => this.records.push(record), flushIfDue: () => Infinity, flush: () => undefined })
    this.request({ kind: 'publish', changes: [this.#change()] })
    for (const [name, { fd }] of Object.entries(this.#fronts)) this.request({ kind: 'listen', listener: name, fd })
  }

  portFor(kind: ClientKind): number {
    return this.#fronts[kind === 'raw' || kind === 'proxy' ? kind : 'main'].port
  }

  /** Connections: open, in their limits, before their hello. */
  get counted(): readonly number[] {
    return [this.#cells[relayCell.openConnections], this.#admission.process[processCell.open], this.#admission.process[processCell.beforeHello]].map((count) => count ?? 0)
  }

  /** Done in the turn that follows. */
  request(request: WorkerRequest): void {
    this.#tell({ kind: 'request', number: ++this.#number, request })
    this.turn()
  }

  turn(waitMs = 0): void {
    this.#worker.turn(waitMs)
  }

  /** Some of the names that were asked for, or all, get an answer of some kind; a few get two. */
  answerNames({ all }: { readonly all: boolean }): void {
    const random = this.#random
    const asked = this.#asked
    this.#asked = []
    for (const dial of asked) {
      if (!all && random.chance(0.5)) {
        this.#asked.push(dial)
        continue
      }
      const answer = random.weighted({ address: 7, nonsense: 1, none: 2 })
      this.#tell({ kind: 'resolved', dial, answer: answer === 'address' ? { address: '127.0.0.1' } : answer === 'nonsense' ? { address: 'nonsense' } : { failure: 'ENOTFOUND', isOurs: random.chance(0.5) } })
      if (random.chance(0.1)) this.#tell({ kind: 'resolved', dial, answer: { address: '127.0.0.1' } })
    }
  }

  /** @throws {FuzzFault} where something is counted that is no more */
  close(): void {
    this.#worker.close('gateway-stopped')
    for (const cell of [relayCell.openConnections, relayCell.openConnectionsBeforeHello, ...[0, 1, 2].map((row) => relayCell.openByListener + row)]) {
      if (this.#cells[cell] !== 0) throw new FuzzFault(`cell ${cell} is ${this.#cells[cell]} at the end`)
    }
    if (new Set(this.records.map(({ id }) => id)).size !== this.records.length) throw new FuzzFault('a connection has two records')
    for (const { fd } of [this.backend, ...Object.values(this.#fronts)]) closeAll([fd])
    this.#port.close()
    libc.close(this.#wakeFd)
    libc.free(this.#one)
  }

  #tell(message: ToWorker): void {
    this.#port.postMessage(message)
    libc.write(this.#wakeFd, this.#one.address, 8)
  }

  #told(message: FromWorker): void {
    switch (message.kind) {
      case 'failed':
        // So few slots are used up now and then.
        if (!message.context.includes('accepting pauses')) throw message.error
        break
      case 'answer':
        if (message.error !== undefined) throw new FuzzFault(message.error)
        break
      case 'resolve': this.#asked.push(message.dial); break
      case 'handed-over':
        libc.close(message.fd)
        this.heads.push(message.connection.head)
        break
      default: break
    }
  }

  #change(): SnapshotChange {
    const random = this.#random
    // The unspecified address leads to this host too, but what comes of its dials is told by events.
    const address = random.chance(0.5) ? '127.0.0.1' : '0.0.0.0'
    const [answering, refusing, unreachable, named] = [endpoint(this.backend.port, { address }), endpoint(refusingPort(), { address }), endpoint(9, { address: '255.255.255.255' }), { ...endpoint(this.backend.port), name: endpointsName, address: endpointsName }]
    const timeouts = { connectTimeoutMs: random.chance(0.3) ? 3 : 3_000, answerTimeoutMs: random.chance(0.3) ? 4 : 5_000 }
    const change = changeOf({
      tenants: [
        tenant('acme', [answering], timeouts), tenant('mixed', [refusing, answering, unreachable], timeouts), tenant('refused', [refusing, unreachable], timeouts),
        tenant('named', [named], timeouts), tenant('named-then-refused', [named, refusing], timeouts),
      ],
      listeners: [listener({ name: 'main' }), listener({ name: 'proxy', proxyProtocol: { trustedSources: ['127.0.0.0/8'] } })],
      tunnelHostnames: ['tunnel.example.test'],
      helloMs: random.chance(0.2) ? 5 : 60_000,
      limits: random.chance(0.3) ? { rate: { perSecond: 2_000, burst: random.integer(1, 8) } } : {},
    })
    const withRaw = { ...change, listeners: [...change.listeners, { name: 'raw', helloTimeoutMs: 60_000, withoutHello: true, defaultTenant: 'acme' }] }
    return new EndpointRows(this.#active).give(new LimitRows(this.#admission).assign(withRaw)).change
  }
}

function listen(): Listening {
  const { fds, bound } = openListeningSockets({ address: '127.0.0.1', port: 0 }, { ipv6Only: false }, 1)
  return { fd: fds[0] ?? -1, port: bound.port }
}

function refusingPort(): number {
  const { fd, port } = listen()
  libc.close(fd)
  return port
}
