// Threads for the tunnel's sessions: each connection that the edge hands over goes to the one with the fewest, as a
// descriptor, and stays there. Who may have a session, and what is counted and logged, is the main thread's.
//
//   take(fd, head) ─▶ thread 0, 1, …  ─▶ TLS, WebSocket, sessions, streams ─▶ API servers
//        store ◀─ admit, isRevoked ─┘ └─ observed ─▶ metrics, log
//
// A thread that dies loses its sessions, whose agents come again, to the one that takes its place.

import { randomBytes } from 'node:crypto'
import { closeSync } from 'node:fs'
import { setTimeout as delay } from 'node:timers/promises'
import { MessageChannel, Worker } from 'node:worker_threads'
import { clearActiveOf, type ActiveCells } from '../core/balance/active-counts.ts'
import type { Admission, Claim } from '../core/identity/admission.ts'
import { releaseThread } from '../core/limit/holds.ts'
import type { LiveThread } from '../core/live/live-connection.ts'
import { SnapshotMemory } from '../core/snapshot-memory.ts'
import type { SnapshotChange } from '../core/snapshot.ts'
import type { PeerGateway, ReachableFacts } from '../core/tunnel/presence-record.ts'
import { addUp, figuresOf, totalsOf, type TunnelFigures } from '../core/tunnel/tunnel-figures.ts'
import { stableHash } from '../core/stable-hash.ts'
import type { SessionFacts } from '../core/tunnel/tunnel-observer.ts'
import { closeStreamDescriptors, createStreamDescriptors } from '../relay/linux/stream-descriptors.ts'
import { entryName, type EgressEntry } from '../tunnel/egress/egress-server.ts'
import { SessionRegistry } from '../tunnel/gateway/session-registry.ts'
import type { Certificate } from '../tunnel/gateway/tunnel-gateway.ts'
import type { SessionPlace, TunnelSideOptions } from '../tunnel/gateway/tunnel-side.ts'
import type { SharedAdmission } from './relay-driver.ts'
import { ThreadCalls } from './thread-calls.ts'
import type { TunnelEvent } from './tunnel-events.ts'
import type { TunnelMainMethods, TunnelThreadMethods, TunnelWorkerData } from './tunnel-worker.ts'

/** Of the n-th death in a row: n times this, but not over the most. */
const restartDelayMs = 100
const restartDelayMsMax = 1_000
/** A thread that has lived so long counts as sound. */
const soundAfterMs = 60_000
/** Bytes on their way are freed by scavenges only: with more room between two of them V8 collects the whole heap instead. */
const youngGenerationMb = 3
/** As `ticketKeys` of node:tls. */
const ticketKeysBytes = 48
/** To answer for a scrape. */
const figuresMsMax = 1_000

export interface TunnelThreadsOptions {
  readonly threads: number
  readonly certificate: Certificate
  readonly gateways: readonly string[]
  readonly handshakesPerSecond: number
  /** For grants; absent: there is no direct lane. */
  readonly ticketSecret: Uint8Array | undefined
  readonly admit: (claim: Claim) => Promise<Admission>
  readonly isRevoked: (keyId: string) => Promise<boolean>
  readonly peering: TunnelSideOptions['peering']
  /** Connections by endpoint: these threads are its last. */
  readonly active: ActiveCells
  readonly admission: SharedAdmission
  /** What a thread's observer was told. */
  readonly observed: (events: readonly TunnelEvent[]) => void
}

interface Seat {
  readonly thread: number
  calls: ThreadCalls<TunnelMainMethods, TunnelThreadMethods>
  worker: Worker
  startedMs: number
  /** In a row. */
  deaths: number
  /** Connections that it has. */
  connections: number
  /** Sent to it, and not yet said to be taken. */
  readonly inFlight: Set<number>
  readonly sessions: Map<string, SessionFacts>
  /** Of these, those that take connections of API servers. */
  readonly reachable: Map<string, SessionFacts>
  /** As its thread last said. */
  figures: TunnelFigures
}

interface SeatedSession {
  readonly facts: SessionFacts
  close(detail: string): void
}

export class TunnelThreads {
  /** Streams of their sessions. */
  readonly live: readonly LiveThread[]
  readonly #options: TunnelThreadsOptions
  readonly #idPrefix = randomBytes(4).toString('hex')
  readonly #paceCell = new BigInt64Array(new SharedArrayBuffer(BigInt64Array.BYTES_PER_ELEMENT))
  readonly #windowBytes: Int32Array<SharedArrayBuffer>
  readonly #memory = new SnapshotMemory()
  readonly #registry = new SessionRegistry<SeatedSession>()
  readonly #seats: readonly Seat[]
  #certificate: Certificate
  #gateways: readonly string[]
  #peering: TunnelWorkerData['peering']
  #egress: readonly EgressEntry[] = []
  /** Of other gateways, by id. */
  readonly #sessionsElsewhere = new Map<string, { readonly facts: ReachableFacts; readonly place: SessionPlace }>()
  readonly #otherGateways = new Map<string, PeerGateway>()
  #isPublished = false
  #restarts = 0
  /** Totals of threads that died, as they last said. */
  #ofDead = figuresOf({})
  #phase: 'open' | 'draining' | 'stopped' = 'open'

  constructor(options: TunnelThreadsOptions) {
    this.#options = options
    this.#certificate = withTicketKeys(options.certificate)
    this.#gateways = options.gateways
    this.#peering = options.peering
    this.#windowBytes = new Int32Array(new SharedArrayBuffer(options.threads * Int32Array.BYTES_PER_ELEMENT))
    this.#seats = Array.from({ length: options.threads }, (_, thread) => this.#seat(thread))
    this.live = this.#seats.map((seat) => ({
      scan: async (request) => await seat.calls.call('scan', request).catch(unlessGone(seat.calls, { connections: [] })),
      close: async (refs) => await seat.calls.call('close', refs).catch(unlessGone(seat.calls, 0)),
    }))
    for (const [index, seat] of this.#seats.entries()) for (const other of this.#seats.slice(0, index)) link(seat, other)
  }

  /** Tenants' hostnames are the edge's alone. */
  publish(change: SnapshotChange): void {
    const lean = { ...change, tenants: change.tenants.map((tenant) => ({ ...tenant, hostnames: [] })) }
    this.#memory.remember(lean)
    this.#isPublished = true
    for (const { calls } of this.#seats) calls.tell('publish', [lean])
  }

  setCertificate(certificate: Certificate): void {
    this.#certificate = withTicketKeys(certificate)
    for (const { calls } of this.#seats) calls.tell('setCertificate', this.#certificate)
  }

  setGateways(gateways: readonly string[]): void {
    this.#gateways = gateways
    for (const { calls } of this.#seats) calls.tell('setGateways', gateways)
  }

  setTunnelHostname(tunnelHostname: string): void {
    if (this.#peering !== undefined) this.#peering = { ...this.#peering, tunnelHostname }
    for (const { calls } of this.#seats) calls.tell('setTunnelHostname', tunnelHostname)
  }

  /** @param head what was read of the connection already */
  take(fd: number, head: Uint8Array): void {
    const seat = this.#seats.reduce((best, each) => each.connections < best.connections ? each : best)
    if (this.#phase === 'stopped') {
      closeSync(fd)
      return
    }
    seat.connections += 1
    seat.inFlight.add(fd)
    seat.calls.tell('take', { fd, head })
  }

  revoke(keyId: string): void {
    for (const { calls } of this.#seats) calls.tell('revoke', keyId)
  }

  /**
   * These and those that there are.
   * @throws an error that names the one that can't be bound; others may be: `closeOtherEgress` then
   */
  async openEgress(entries: readonly EgressEntry[]): Promise<void> {
    this.#egress = entries
    await this.#unlessDead(async ({ thread, calls }) => await calls.call('openEgress', this.#ofThread(thread, entries)))
  }

  /** All but these accept nothing more. */
  async closeOtherEgress(names: readonly string[]): Promise<void> {
    this.#egress = this.#egress.filter((entry) => names.includes(entryName(entry)))
    await this.#unlessDead(async ({ calls }) => await calls.call('closeOtherEgress', names))
  }

  /** At another gateway. */
  seen(facts: ReachableFacts, place: SessionPlace): void {
    this.#sessionsElsewhere.set(facts.id, { facts, place })
    for (const { calls } of this.#seats) calls.tell('seen', { facts, place })
  }

  gone(id: string): void {
    this.#sessionsElsewhere.delete(id)
    for (const { calls } of this.#seats) calls.tell('gone', id)
  }

  gatewaySeen(gateway: PeerGateway): void {
    this.#otherGateways.set(gateway.id, gateway)
    for (const { calls } of this.#seats) calls.tell('gatewaySeen', gateway)
  }

  gatewayGone(id: string): void {
    this.#otherGateways.delete(id)
    for (const { calls } of this.#seats) calls.tell('gatewayGone', id)
  }

  async figures(): Promise<TunnelFigures> {
    const answered = new Set<Seat>()
    await Promise.all(this.#seats.map(async (seat) => {
      const figures = await Promise.race([seat.calls.call('figures', undefined).catch(() => undefined), delay(figuresMsMax, undefined, { ref: false })])
      if (figures === undefined) return
      seat.figures = figures
      answered.add(seat)
    }))
    // Only now: a thread may have died since it answered.
    const sum = addUp([this.#ofDead, ...this.#seats.map((seat) => answered.has(seat) ? seat.figures : totalsOf(seat.figures))])
    return { ...sum, sessions: this.#registry.size, sessionsEvicted: sum.sessionsEvicted + this.#registry.evicted }
  }

  async drain(): Promise<void> {
    this.#phase = 'draining'
    await Promise.all(this.#seats.map(async ({ calls }) => await calls.call('drain', undefined).catch(() => undefined)))
  }

  async stop(): Promise<void> {
    this.#phase = 'stopped'
    await Promise.all(this.#seats.map(async ({ calls, worker }) => {
      const exited = new Promise<void>((resolve) => {
        worker.once('exit', () => resolve())
      })
      await calls.call('stop', undefined).then(async () => await exited, () => undefined)
    }))
  }

  /** As a bug would; the next one at the next call. */
  crash(turn: number): void {
    this.#seats[turn % this.#seats.length]?.calls.tell('crash', undefined)
  }

  #seat(thread: number): Seat {
    const started = this.#start(thread, () => seat)
    const seat: Seat = { thread, ...started, startedMs: performance.now(), deaths: 0, connections: 0, inFlight: new Set(), sessions: new Map(), reachable: new Map(), figures: figuresOf({}) }
    return seat
  }

  #start(thread: number, seat: () => Seat): Pick<Seat, 'calls' | 'worker'> {
    const { threads, handshakesPerSecond, ticketSecret, active, admission, admit, isRevoked, observed } = this.#options
    const descriptors = createStreamDescriptors()
    const data: TunnelWorkerData = {
      thread, threads, handshakesPerSecond, ticketSecret, peering: this.#peering, descriptors,
      admission: admission.tables, admissionThread: admission.firstTunnelThread + thread,
      idPrefix: `${this.#idPrefix}-${thread}.${this.#restarts}-`,
      certificate: this.#certificate, gateways: this.#gateways, paceCell: this.#paceCell, windowBytes: this.#windowBytes,
      active, activeThread: this.#activeThread(thread),
    }
    const worker = new Worker(new URL('tunnel-worker.ts', import.meta.url), { workerData: data, name: `sluice-tunnel-${thread}`, resourceLimits: { maxYoungGenerationSizeMb: youngGenerationMb } })
    const calls: Seat['calls'] = new ThreadCalls<TunnelMainMethods, TunnelThreadMethods>(worker, {
      admit, isRevoked,
      observed: (events) => {
        for (const event of events) {
          if (event.name === 'sessionStarted') this.#began(seat(), calls, event.arguments[0])
          else if (event.name === 'sessionChanged') this.#reach(seat(), event.arguments[0])
          else if (event.name === 'sessionLeaving') this.#leaves(seat(), event.arguments[0])
          else if (event.name === 'sessionEnded') this.#ended(seat(), event.arguments[0])
        }
        observed(events)
      },
      taken: (fd) => void seat().inFlight.delete(fd),
      closed: () => {
        seat().connections -= 1
      },
    })
    let fault: Error | undefined
    worker.on('error', (error: Error) => {
      fault = error
    })
    worker.once('exit', (code) => {
      closeStreamDescriptors(descriptors)
      const error = new Error(fault?.message ?? `exit code ${code}`, { cause: fault })
      calls.close(error)
      if (this.#phase !== 'stopped') void this.#replace(seat(), error)
    })
    return { worker, calls }
  }

  #activeThread(thread: number): number {
    return this.#options.active.threads - this.#options.threads + thread
  }

  #began(seat: Seat, calls: Seat['calls'], facts: SessionFacts): void {
    seat.sessions.set(facts.id, facts)
    this.#registry.add({ facts, close: (detail) => calls.tell('closeSession', { keyId: facts.keyId, id: facts.id, detail }) })
    this.#reach(seat, facts)
  }

  #reach(seat: Seat, facts: SessionFacts): void {
    seat.reachable.set(facts.id, facts)
    for (const other of this.#seats) if (other !== seat) other.calls.tell('seen', { facts, place: { kind: 'thread', thread: seat.thread } })
  }

  #leaves(seat: Seat, { id }: SessionFacts): void {
    if (!seat.reachable.delete(id)) return
    for (const other of this.#seats) if (other !== seat) other.calls.tell('gone', id)
  }

  #ended(seat: Seat, facts: SessionFacts): void {
    const { id, keyId } = facts
    seat.sessions.delete(id)
    this.#leaves(seat, facts)
    const session = this.#registry.of(keyId).find(({ facts }) => facts.id === id)
    if (session !== undefined) this.#registry.remove(session)
  }

  /** Asked of each thread; the successor of one that dies opens the egress as it is to be by then. */
  async #unlessDead(ask: (seat: Pick<Seat, 'thread' | 'calls'>) => Promise<void>): Promise<void> {
    await Promise.all(this.#seats.map(async ({ thread, calls }) => {
      try {
        await ask({ thread, calls })
      } catch (error) {
        if (!calls.isClosed) throw error
      }
    }))
  }

  #ofThread(thread: number, entries: readonly EgressEntry[]): readonly EgressEntry[] {
    return entries.filter((entry) => stableHash(entryName(entry)) % this.#options.threads === thread)
  }

  async #replace(seat: Seat, why: Error): Promise<void> {
    const { observed, admission } = this.#options
    this.#restarts += 1
    releaseThread(admission.tables, admission.firstTunnelThread + seat.thread)
    seat.deaths = performance.now() - seat.startedMs > soundAfterMs ? 1 : seat.deaths + 1
    observed([{ name: 'failed', arguments: [why, `tunnel thread ${seat.thread} died, its ${seat.sessions.size} sessions are cut; another takes its place`] }])
    for (const facts of seat.sessions.values()) {
      this.#ended(seat, facts)
      observed([{ name: 'sessionEnded', arguments: [facts, { reason: 'closed', detail: 'its thread died' }] }])
    }
    for (const fd of seat.inFlight) closeSync(fd)
    seat.inFlight.clear()
    this.#ofDead = addUp([this.#ofDead, totalsOf(seat.figures)])
    seat.figures = figuresOf({})
    seat.connections = 0
    Atomics.store(this.#windowBytes, seat.thread, 0)
    clearActiveOf(this.#options.active, this.#activeThread(seat.thread))
    if (seat.deaths > 1) await delay(Math.min(restartDelayMsMax, restartDelayMs * (seat.deaths - 1)), undefined, { ref: false })
    if (this.#phase === 'stopped') return
    Object.assign(seat, this.#start(seat.thread, () => seat), { startedMs: performance.now() })
    if (this.#isPublished) seat.calls.tell('publish', [this.#memory.whole()])
    this.#tellAll(seat)
    // It has no session to send away, and takes none.
    if (this.#phase === 'draining') void seat.calls.call('drain', undefined).catch(() => undefined)
  }

  /** What the others know already. */
  #tellAll(seat: Seat): void {
    const others = this.#seats.filter((other) => other !== seat)
    for (const other of others) {
      link(seat, other)
      for (const facts of other.reachable.values()) seat.calls.tell('seen', { facts, place: { kind: 'thread', thread: other.thread } })
    }
    for (const gateway of this.#otherGateways.values()) seat.calls.tell('gatewaySeen', gateway)
    for (const session of this.#sessionsElsewhere.values()) seat.calls.tell('seen', session)
    seat.calls.call('openEgress', this.#ofThread(seat.thread, this.#egress)).catch((error: unknown) => {
      this.#options.observed([{ name: 'failed', arguments: [error, `tunnel thread ${seat.thread} could not open its egress again`] }])
    })
  }
}

/** What a thread that has died would have answered. */
function unlessGone<Value>(calls: Seat['calls'], value: Value): (error: unknown) => Value {
  return (error) => {
    if (!calls.isClosed) throw error
    return value
  }
}

/** For streams to each other's sessions. */
function link(one: Seat, other: Seat): void {
  const { port1, port2 } = new MessageChannel()
  one.calls.tell('linkThread', { thread: other.thread, port: port1, role: 'client' }, [port1])
  other.calls.tell('linkThread', { thread: one.thread, port: port2, role: 'server' }, [port2])
}

function withTicketKeys(certificate: Certificate): Certificate {
  return { ...certificate, ticketKeys: randomBytes(ticketKeysBytes) }
}
