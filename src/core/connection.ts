// One connection's state machine: an event goes in, effects come out. Every driver runs this one.
//
//   proxy-header ─▶ hello ─▶ route, admission ─▶ dialing ⇄ (next endpoint) ─▶ awaiting-answer ─▶ relaying ─▶ ended
//                     └─▶ ticket ─▶ its tenant ──┘  ▲                              │
//                                                   └── closed before its first byte ┘
//
// A connection of an agent's node, which a ticket brings (core/tunnel/ticket.ts), needs no hello; nor do connections of an
// agent's own listeners, which go to a gateway, or are handed over where none answers.
//
// It decides and keeps nothing but a few numbers and, until the API server's first byte, the bytes that a further
// attempt would have to replay. Once it has said `relay` the driver copies bytes by itself and reports only FIN, RST and
// the deadline. It holds one deadline at a time; `end` is its last effect, and comes once.

import type { Endpoint, EndpointGrant } from './balance/endpoint.ts'
import type { ConnectionEffect, ConnectionEvent, DialFailure, DownstreamEnd, LostHow, UpstreamEnd } from './connection-events.ts'
import type { ClosedBy, ConnectionRecord } from './connection-record.ts'
import { HeadBuffer } from './head-buffer.ts'
import type { Candidate, LiveConnection, LivePhase } from './live/live-connection.ts'
import { drainDeadlineMs } from './live/spread.ts'
import type { AcceptRefusal, TenantRefusal } from './limit/admission.ts'
import { parseIpAddress } from './net/ip-address.ts'
import type { SocketAddress } from './net/socket-address.ts'
import { encodeProxyHeader } from './proxy-protocol/encode.ts'
import type { ProxyTlvs } from './proxy-protocol/header.ts'
import { ProxyHeaderReader } from './proxy-protocol/reader.ts'
import { sentProxyHeader } from './proxy-protocol/sent-header.ts'
import { v2Signature } from './proxy-protocol/v2.ts'
import { completedBy, hasFin, isCompleted, lostReason, relayDeadlineMs, relayDeadlineReason, relayedPhase, withFin, withFinished, type Side } from './relayed.ts'
import { decideRoute } from './route/decide.ts'
import { normalizeHostname } from './route/hostname.ts'
import type { ListenerPolicy, Snapshot, TenantPolicy } from './snapshot.ts'
import { terminationOf, type TerminationReason } from './termination.ts'
import { encodeFatalAlert } from './tls/alert.ts'
import type { JudgedTicket } from './tunnel/ticket.ts'
import { ClientHelloReader, type ClientHello, type HelloFault } from './tls/client-hello.ts'
import { readWholeHello } from './tls/whole-hello.ts'

/**
 * Bytes kept from the client until the API server's first byte, so that another endpoint can be given the same ones.
 * While dialling, reading stops here; afterwards, more than this makes the attempt the last one.
 */
export const replayBytesMax = 64 * 1024

/** Counts a connection where it belongs, or says what refuses it. */
export interface ConnectionAdmission {
  /** A PROXY header has named its client. */
  client(address: string): AcceptRefusal | undefined
  /** It is about to be dialled for. */
  tenant(tenant: TenantPolicy, clientAddress: string): TenantRefusal | undefined
  /** It may be dialled for once more. */
  retry(tenant: TenantPolicy): boolean
}

export interface ConnectionOrigin {
  /** Asked for where it is told. */
  readonly id: () => string
  /** Among its thread's: 1, 2, … */
  readonly number: number
  readonly listener: ListenerPolicy
  /**
   * The driver has somebody to hand the tunnel's connections over to; otherwise they are refused.
   * @default false
   */
  readonly handsOver?: boolean
  /** Judges tickets of the tunnel's direct lane; absent: there is none. */
  readonly judgeTicket?: ((ticket: Uint8Array) => JudgedTicket) | undefined
  /** For an endpoint with a grant. */
  readonly makeTicket?: (grant: EndpointGrant) => Uint8Array
  /** Absent: there are no limits. */
  readonly admission?: ConnectionAdmission | undefined
  readonly downstream: SocketAddress
  /** The address that was connected to, the PROXY header's destination: asked for where one is sent. */
  readonly local: () => SocketAddress
  readonly acceptedAtMs: number
  readonly nowMs: number
}

export interface RelayedFacts {
  readonly tenant: TenantPolicy
  readonly endpoint: Endpoint
  /** Where a PROXY header named one. */
  readonly client: SocketAddress | undefined
  /** What else that header told, if anything. */
  readonly proxied: ProxyTlvs | undefined
  readonly serverName: string | undefined
  readonly encryptedClientHello: boolean
  readonly attempts: number
  readonly snapshotVersion: number
  readonly helloMs: number
  readonly connectMs: number
}

type State = 'new' | 'proxy-header' | 'hello' | 'ticket' | 'dialing' | 'awaiting-answer' | 'relaying' | 'ended'

const none: readonly ConnectionEffect[] = []

const faultReasons = {
  'not-tls': 'hello-not-tls',
  'malformed': 'hello-malformed',
  'too-large': 'hello-too-large',
} as const satisfies Record<HelloFault, TerminationReason>

const dialReasons = {
  refused: 'dial-refused',
  timeout: 'dial-timeout',
  unreachable: 'dial-unreachable',
  error: 'dial-error',
} as const satisfies Record<DialFailure, TerminationReason>

export class Connection {
  readonly #origin: ConnectionOrigin
  readonly #snapshotVersion: number
  /** Until it is routed: afterwards a connection that lives for days must not keep a whole configuration alive. */
  #snapshot: Snapshot | undefined
  #state: State = 'new'
  #effects: ConnectionEffect[] = []

  #proxyReader: ProxyHeaderReader | undefined
  /** From a hello's first piece, where that is not all of it. */
  #helloReader: ClientHelloReader | undefined
  #client: SocketAddress
  #clientDestination: SocketAddress | undefined
  #proxied: ProxyTlvs | undefined
  #encryptedClientHello = false
  /** As it stood in the hello. */
  #serverName: string | undefined
  #node: string | undefined
  #tenant: TenantPolicy | undefined

  /** What the client has sent and no API server has answered; undefined once it can't be replayed any more. */
  #replay: HeadBuffer | undefined = new HeadBuffer()
  #downstreamPaused = false
  #attempt = 0
  #tried: Endpoint[] = []
  #endpoint: Endpoint | undefined
  /** Of that endpoint, what `ActiveCounts.began` has returned. */
  #begun = 0
  /** Its address is asked for. */
  #isResolving = false
  /** Among the endpoint's connections. */
  #isCounted = false

  /** As in relayed.ts. */
  #relayBits = 0

  #activityMs: number
  #drainSinceMs = Infinity
  #helloMs: number | undefined
  #firstDialMs: number | undefined
  #connectMs: number | undefined
  /** When the client's first bytes went to the endpoint of this attempt; Infinity: not yet. */
  #askedMs = Infinity

  #reason: TerminationReason | undefined
  #detail: string | undefined
  #closedBy: ClosedBy = 'gateway'
  /** A fraction like all times, from the beginning: V8 gives the field its kind by what it holds first, and changing that changes the shape. */
  #endedMs = Infinity

  constructor(origin: ConnectionOrigin, snapshot: Snapshot) {
    this.#origin = origin
    this.#snapshot = snapshot
    this.#snapshotVersion = snapshot.version
    this.#client = origin.downstream
    this.#activityMs = origin.nowMs
  }

  get ended(): boolean {
    return this.#state === 'ended'
  }

  /** Not yet routed. */
  get beforeHello(): boolean {
    return this.#state === 'new' || this.#state === 'proxy-header' || this.#state === 'hello' || this.#state === 'ticket'
  }

  /** An endpoint has something to be sent as soon as it is reached. */
  get hasFirstBytes(): boolean {
    return this.#replayBytes() > 0
  }

  /** Key id of the node whose agent's ticket brought it; undefined while none was found good. */
  get node(): string | undefined {
    return this.#node
  }

  /**
   * The first effects, once.
   * @param atConnectionLimit refuse at once: the process has no room for another connection
   */
  start({ atConnectionLimit }: { readonly atConnectionLimit: boolean }): readonly ConnectionEffect[] {
    if (this.#state !== 'new') return none
    const { listener, nowMs, downstream } = this.#origin
    const trusted = listener.proxyProtocolTrustedSources
    if (atConnectionLimit) {
      this.#refuse('connection-limit', nowMs)
    } else if (trusted !== undefined && !trusted.contains(downstream.address)) {
      this.#refuse('proxy-source-untrusted', nowMs, `${downstream.address} is not in proxyProtocol.trustedSources`)
    } else if (listener.withoutHello === true) {
      this.#routeTo(listener.defaultTenant, nowMs)
    } else {
      this.#state = trusted === undefined ? 'hello' : 'proxy-header'
      if (trusted !== undefined) this.#proxyReader = new ProxyHeaderReader()
      // From the accept, whatever trickles in meanwhile: a byte every second must not keep a connection alive.
      this.#effects.push({ kind: 'deadline', atMs: nowMs + listener.helloTimeoutMs })
    }
    return this.#takeEffects()
  }

  step(event: ConnectionEvent): readonly ConnectionEffect[] {
    if (this.#state === 'ended' || this.#state === 'new') return none
    if ('attempt' in event && event.attempt !== this.#attempt) return none
    switch (event.kind) {
      case 'downstream-bytes': this.#onDownstreamBytes(event.bytes, event.nowMs); break
      case 'downstream-fin': this.#onDownstreamFin(event.nowMs); break
      case 'downstream-lost': this.#onDownstreamLost(event.how, event.nowMs); break
      case 'dial-resolving':
      case 'dial-resolved':
        this.#isResolving = event.kind === 'dial-resolving'
        break
      case 'dial-succeeded': this.#onDialSucceeded(event.nowMs); break
      case 'dial-failed':
        if (this.#state !== 'dialing') break
        if (event.failure !== 'error') this.#tellFailed()
        this.#onAttemptFailed(dialReasons[event.failure], event.detail, event.nowMs)
        break
      case 'upstream-answered':
        this.#activityMs = event.nowMs
        if (this.#state === 'awaiting-answer') this.#beginRelay()
        break
      case 'upstream-fin': this.#onUpstreamFin(event.nowMs); break
      case 'upstream-lost': this.#onUpstreamLost(event.how, event.nowMs); break
      case 'downstream-finished':
        this.#onFinished('downstream', event.nowMs)
        break
      case 'upstream-finished':
        this.#onFinished('upstream', event.nowMs)
        break
      case 'deadline': this.#onDeadline(event.lastActivityMs, event.nowMs); break
      case 'drain':
        this.#drainSinceMs = Math.min(this.#drainSinceMs, event.nowMs)
        if (this.#state === 'awaiting-answer' || this.#state === 'relaying') this.#armRelayDeadline()
        break
      case 'stop': this.#end(event.reason, 'gateway', event.nowMs, { how: 'reset' }); break
      default: event satisfies never
    }
    return this.#takeEffects()
  }

  get candidate(): Candidate {
    return { kind: 'connection', tenant: this.#tenant?.name, endpoint: this.#endpoint, id: () => this.id, client: () => parseIpAddress(this.#client.address) }
  }

  /** What is known of it while it lives. */
  live(): Omit<LiveConnection, 'slot' | 'bytesFromDownstream' | 'bytesFromUpstream'> {
    const { listener, acceptedAtMs } = this.#origin
    return {
      id: this.id,
      kind: 'connection',
      phase: this.#phase(),
      listener: listener.name,
      client: this.#client,
      ...(this.#serverName === undefined ? {} : { serverName: this.#serverName }),
      ...(this.#tenant === undefined ? {} : { tenant: this.#tenant.name }),
      ...(this.#node === undefined ? {} : { node: this.#node }),
      ...(this.#endpoint === undefined ? {} : { endpoint: this.#endpoint.name }),
      acceptedAtMs,
    }
  }

  #phase(): LivePhase {
    switch (this.#state) {
      case 'relaying':
      case 'ended': return relayedPhase(this.#relayBits)
      case 'new': return 'hello'
      default: return this.#state
    }
  }

  get id(): string {
    return this.#origin.id()
  }

  get client(): SocketAddress {
    return this.#client
  }

  /** Absent: it has found none yet. */
  get tenant(): TenantPolicy | undefined {
    return this.#tenant
  }

  /** Of the last attempt. */
  get endpoint(): Endpoint | undefined {
    return this.#endpoint
  }

  /** The access-log line's content; only once it has ended. */
  record(moved: { readonly bytesFromDownstream: number; readonly bytesFromUpstream: number }): ConnectionRecord {
    if (this.#reason === undefined) throw new Error('bug: a record was asked of a connection that has not ended')
    const { listener, downstream, acceptedAtMs, nowMs } = this.#origin
    return {
      id: this.id,
      reason: this.#reason,
      ...(this.#detail === undefined ? {} : { detail: this.#detail }),
      closedBy: this.#closedBy,
      listener: listener.name,
      downstream,
      client: this.#client,
      ...(this.#proxied === undefined ? {} : { proxied: this.#proxied }),
      ...(this.#serverName === undefined ? {} : { serverName: this.#serverName }),
      encryptedClientHello: this.#encryptedClientHello,
      ...(this.#tenant === undefined ? {} : { tenant: this.#tenant.name }),
      ...(this.#node === undefined ? {} : { node: this.#node }),
      ...(this.#endpoint === undefined ? {} : { endpoint: this.#endpoint.name }),
      attempts: this.#attempt,
      snapshotVersion: this.#snapshotVersion,
      acceptedAtMs,
      ...(this.#helloMs === undefined ? {} : { helloMs: this.#helloMs }),
      ...(this.#connectMs === undefined ? {} : { connectMs: this.#connectMs }),
      totalMs: this.#endedMs - nowMs,
      ...moved,
    }
  }

  /**
   * What is known of it once it has said `relay`: for a driver that goes on with `relayed.ts` and its own columns, keeps
   * nothing of this object, and counts the connection off its endpoint when it ends.
   */
  relayedFacts(): RelayedFacts {
    const { tenant, endpoint } = { tenant: this.#tenant, endpoint: this.#endpoint }
    if (this.#state !== 'relaying' || tenant === undefined || endpoint === undefined) throw new Error('bug: facts were asked of a connection that is not relayed')
    return {
      tenant,
      endpoint,
      client: this.#client === this.#origin.downstream ? undefined : this.#client,
      proxied: this.#proxied,
      serverName: this.#serverName,
      encryptedClientHello: this.#encryptedClientHello,
      attempts: this.#attempt,
      snapshotVersion: this.#snapshotVersion,
      helloMs: this.#helloMs ?? 0,
      connectMs: this.#connectMs ?? 0,
    }
  }

  #takeEffects(): readonly ConnectionEffect[] {
    const effects = this.#effects
    this.#effects = []
    return effects
  }

  #onDownstreamBytes(bytes: Uint8Array, nowMs: number): void {
    this.#activityMs = nowMs
    switch (this.#state) {
      case 'proxy-header': this.#readProxyHeader(bytes, nowMs); break
      case 'hello': this.#readHello(bytes, nowMs); break
      case 'ticket': this.#readTicket(bytes, nowMs); break
      case 'dialing':
        this.#replay?.append(bytes)
        if (!this.#downstreamPaused && this.#replayBytes() >= replayBytesMax) {
          this.#downstreamPaused = true
          this.#effects.push({ kind: 'pause-downstream' })
        }
        break
      case 'awaiting-answer':
        this.#effects.push({ kind: 'send-upstream', bytes })
        this.#replay?.append(bytes)
        this.#asked(nowMs)
        if (this.#replayBytes() > replayBytesMax) this.#beginRelay()
        break
      case 'relaying':
        this.#effects.push({ kind: 'send-upstream', bytes })
        break
      default: break
    }
  }

  #replayBytes(): number {
    return this.#replay?.byteLength ?? 0
  }

  #readProxyHeader(bytes: Uint8Array, nowMs: number): void {
    const progress = (this.#proxyReader ??= new ProxyHeaderReader()).push(bytes)
    switch (progress.kind) {
      case 'incomplete': break
      case 'refused': this.#refuse('proxy-header-invalid', nowMs, progress.detail); break
      case 'complete': {
        const { source, destination, tlvs } = progress.header
        // LOCAL, UNKNOWN and AF_UNSPEC carry no address: the peer's own stands.
        if (source !== undefined) this.#client = source
        if (destination !== undefined) this.#clientDestination = destination
        const { ticket: _ticket, ...told } = tlvs
        if (Object.keys(told).length > 0) this.#proxied = told
        this.#proxyReader = undefined
        const refusal = source === undefined ? undefined : this.#origin.admission?.client(source.address)
        if (refusal !== undefined) {
          this.#end(refusal, 'gateway', nowMs, { how: 'reset' })
          break
        }
        this.#state = 'hello'
        if (progress.consumedBytes < bytes.byteLength) this.#readHello(bytes.subarray(progress.consumedBytes), nowMs)
        break
      }
      default: progress satisfies never
    }
  }

  #readHello(bytes: Uint8Array, nowMs: number): void {
    if (bytes[0] === v2Signature[0] && this.#replayBytes() === 0 && this.#origin.judgeTicket !== undefined) {
      this.#proxyReader = new ProxyHeaderReader()
      this.#state = 'ticket'
      this.#readTicket(bytes, nowMs)
      return
    }
    this.#replay?.append(bytes)
    const whole = this.#helloReader === undefined ? readWholeHello(bytes) : undefined
    if (whole !== undefined) {
      this.#greeted(whole, nowMs)
      return
    }
    const progress = (this.#helloReader ??= new ClientHelloReader()).push(bytes)
    switch (progress.kind) {
      case 'incomplete': break
      case 'refused': this.#refuse(faultReasons[progress.fault], nowMs, progress.detail); break
      case 'complete': this.#greeted(progress.hello, nowMs); break
      default: progress satisfies never
    }
  }

  #greeted({ serverName, encryptedClientHello }: Pick<ClientHello, 'serverName' | 'encryptedClientHello'>, nowMs: number): void {
    this.#encryptedClientHello = encryptedClientHello
    this.#serverName = serverName
    this.#helloReader = undefined
    this.#helloMs = nowMs - this.#origin.nowMs
    this.#route(nowMs)
  }

  /** What no TLS record begins with begins a PROXY header, whose ticket says what a hello's name would. */
  #readTicket(bytes: Uint8Array, nowMs: number): void {
    const progress = this.#proxyReader?.push(bytes)
    if (progress === undefined || progress.kind === 'incomplete') return
    if (progress.kind === 'refused') {
      this.#refuse('proxy-header-invalid', nowMs, progress.detail)
      return
    }
    this.#proxyReader = undefined
    const { ticket } = progress.header.tlvs
    const judged = ticket === undefined ? undefined : this.#origin.judgeTicket?.(ticket)
    if (judged?.kind !== 'good') {
      this.#detail = judged?.detail ?? 'a PROXY header without a ticket, from a source that is not in proxyProtocol.trustedSources'
      this.#end('ticket-refused', 'gateway', nowMs, { how: 'reset' })
      return
    }
    this.#node = judged.identity
    this.#replay?.append(bytes.subarray(progress.consumedBytes))
    this.#routeTo(this.#snapshot?.tenants.get(judged.tenant), nowMs)
  }

  /** Without a hello. */
  #routeTo(tenant: TenantPolicy | undefined, nowMs: number): void {
    this.#helloMs = nowMs - this.#origin.nowMs
    this.#snapshot = undefined
    this.#tenant = tenant
    if (tenant === undefined) this.#refuse('no-endpoint', nowMs, 'its tenant is no longer in the configuration')
    else this.#admit(tenant, nowMs)
  }

  #route(nowMs: number): void {
    if (this.#snapshot === undefined) throw new Error('bug: a connection is routed twice')
    const decision = decideRoute(this.#snapshot, this.#origin.listener, this.#serverName, this.#client.address)
    this.#snapshot = undefined
    if (decision.kind === 'tunnel') {
      this.#handOver(nowMs)
      return
    }
    this.#tenant = decision.tenant
    if (decision.kind === 'refused') {
      this.#refuse(decision.reason, nowMs, decision.detail)
      return
    }
    // The table's own text, where it is the same: a relayed connection keeps it, and each hello brings a copy.
    if (decision.pattern === this.#serverName) this.#serverName = decision.pattern
    this.#admit(decision.tenant, nowMs)
  }

  #admit(tenant: TenantPolicy, nowMs: number): void {
    const refusal = this.#origin.admission?.tenant(tenant, this.#client.address)
    if (refusal !== undefined) {
      this.#refuse(refusal, nowMs)
      return
    }
    const endpoint = tenant.scheduler.pick(this.#tried, this.#client.address)
    if (endpoint === undefined) {
      this.#refuse('no-endpoint', nowMs)
      return
    }
    this.#firstDialMs = nowMs
    this.#dial(endpoint, tenant, nowMs)
  }

  #handOver(nowMs: number): void {
    if (this.#replay === undefined) throw new Error('bug: the hello of a connection that is to be handed over was not kept')
    if (this.#origin.handsOver === true) this.#end('handed-over', 'gateway', nowMs, { how: 'hand-over', bytes: this.#replay.bytes() })
    else this.#refuse('unknown-server-name', nowMs, 'a tunnel hostname, and nobody here takes tunnels')
  }

  #dial(endpoint: Endpoint, tenant: TenantPolicy, nowMs: number): void {
    this.#state = 'dialing'
    this.#endpoint = endpoint
    this.#isResolving = false
    this.#isCounted = true
    this.#begun = tenant.active.began(endpoint)
    this.#attempt += 1
    this.#effects.push({ kind: 'dial', endpoint, attempt: this.#attempt })
    this.#effects.push({ kind: 'deadline', atMs: nowMs + tenant.connectTimeoutMs })
  }

  #onAttemptFailed(reason: TerminationReason, detail: string | undefined, nowMs: number): void {
    if (this.#tenant === undefined || this.#endpoint === undefined) return
    this.#tried.push(this.#endpoint)
    this.#uncount()
    const next = this.#attempt < this.#tenant.attemptsMax ? this.#tenant.scheduler.pick(this.#tried, this.#client.address) : undefined
    if (next === undefined) this.#refuse(reason, nowMs, detail)
    else if (this.#origin.admission?.retry(this.#tenant) === false) this.#refuse('retry-budget', nowMs, detail === undefined ? reason : `${reason}: ${detail}`)
    else this.#dial(next, this.#tenant, nowMs)
  }

  /** What lies here, such as descriptors that are used up, is not told: it says nothing of the endpoint. */
  #tellFailed(): void {
    if (this.#tenant !== undefined && this.#endpoint !== undefined) this.#tenant.active.failed(this.#endpoint, this.#begun)
  }

  #uncount(): void {
    if (!this.#isCounted || this.#tenant === undefined || this.#endpoint === undefined) return
    this.#isCounted = false
    this.#tenant.active.ended(this.#endpoint)
  }

  #onDialSucceeded(nowMs: number): void {
    if (this.#state !== 'dialing' || this.#tenant === undefined || this.#replay === undefined) return
    this.#state = 'awaiting-answer'
    if (this.#endpoint !== undefined) this.#tenant.active.connected(this.#endpoint)
    this.#activityMs = nowMs
    this.#connectMs = nowMs - (this.#firstDialMs ?? nowMs)
    this.#effects.push({ kind: 'send-upstream', bytes: this.#firstBytes(this.#replay.bytes()) })
    if (this.#downstreamPaused) {
      this.#downstreamPaused = false
      this.#effects.push({ kind: 'resume-downstream' })
    }
    this.#askedMs = Infinity
    if (this.#replayBytes() > 0) this.#asked(nowMs)
    else this.#armRelayDeadline()
  }

  #asked(nowMs: number): void {
    if (this.#askedMs !== Infinity) return
    this.#askedMs = nowMs
    this.#armRelayDeadline()
  }

  /** What an endpoint is sent first, in one piece: the PROXY header where its tenant or a ticket wants one, then the hello. */
  #firstBytes(hello: Uint8Array): Uint8Array {
    const grant = this.#endpoint?.grant
    const ticket = grant === undefined ? undefined : this.#origin.makeTicket?.(grant)
    const sent = this.#tenant?.sendProxyProtocol
    if (ticket === undefined && sent === undefined) return hello
    const ends = { source: this.#client, destination: this.#clientDestination ?? this.#origin.local() }
    const header = sent !== undefined && ticket === undefined
      ? sentProxyHeader(sent, { ...ends, authority: this.#authority(), uniqueId: this.#proxied?.uniqueId ?? new TextEncoder().encode(this.id) })
      : encodeProxyHeader({ version: 'v2', ...ends, ...(ticket === undefined ? {} : { ticket }) })
    const bytes = new Uint8Array(header.byteLength + hello.byteLength)
    bytes.set(header)
    bytes.set(hello, header.byteLength)
    return bytes
  }

  #authority(): string | undefined {
    const name = this.#serverName
    const normalized = name === undefined ? undefined : normalizeHostname(name)
    return normalized?.kind === 'hostname' ? normalized.hostname : undefined
  }

  #beginRelay(): void {
    this.#state = 'relaying'
    this.#replay = undefined
    this.#tried = []
    this.#effects.push({ kind: 'relay' })
  }

  #onDownstreamFin(nowMs: number): void {
    if (hasFin(this.#relayBits, 'downstream')) return
    this.#activityMs = nowMs
    switch (this.#state) {
      case 'proxy-header':
      case 'hello':
      case 'ticket':
        this.#end('closed-before-hello', 'downstream', nowMs, { how: 'close' })
        break
      case 'dialing':
        // No TLS handshake can complete once the client has sent FIN: an API server need not see it.
        this.#end('closed-while-dialing', 'downstream', nowMs, { how: 'close' })
        break
      case 'awaiting-answer':
        // What follows a FIN can't be replayed truthfully to another endpoint: this attempt is the last.
        this.#beginRelay()
        this.#passDownstreamFin()
        break
      case 'relaying':
        this.#passDownstreamFin()
        break
      default: break
    }
  }

  #passDownstreamFin(): void {
    this.#relayBits = withFin(this.#relayBits, 'downstream')
    this.#effects.push({ kind: 'finish-upstream' })
    this.#armRelayDeadline()
  }

  #onUpstreamFin(nowMs: number): void {
    if (hasFin(this.#relayBits, 'upstream')) return
    this.#activityMs = nowMs
    if (this.#state === 'awaiting-answer') {
      this.#onClosedBeforeAnswer('closed', nowMs)
    } else if (this.#state === 'relaying') {
      this.#relayBits = withFin(this.#relayBits, 'upstream')
      this.#effects.push({ kind: 'finish-downstream' })
      this.#armRelayDeadline()
    }
  }

  #onUpstreamLost(how: LostHow, nowMs: number): void {
    if (this.#state === 'awaiting-answer') {
      this.#onClosedBeforeAnswer(how, nowMs)
    } else if (this.#state === 'relaying') {
      this.#end(lostReason('upstream', how), 'upstream', nowMs, { how: 'reset' })
    }
  }

  #onClosedBeforeAnswer(how: string, nowMs: number): void {
    this.#onNoAnswer('reset-before-answer', `${how} before its first byte`, nowMs)
  }

  #onNoAnswer(reason: TerminationReason, detail: string, nowMs: number): void {
    this.#connectMs = undefined
    this.#effects.push({ kind: 'drop-upstream', attempt: this.#attempt })
    if (this.#endpoint !== undefined) this.#tenant?.active.unanswered(this.#endpoint)
    this.#onAttemptFailed(reason, detail, nowMs)
  }

  #onDownstreamLost(how: LostHow, nowMs: number): void {
    switch (this.#state) {
      case 'proxy-header':
      case 'hello':
      case 'ticket':
        this.#end('closed-before-hello', 'downstream', nowMs, { how: 'close' })
        break
      case 'dialing':
        this.#end('closed-while-dialing', 'downstream', nowMs, { how: 'close' })
        break
      case 'awaiting-answer':
      case 'relaying':
        this.#end(lostReason('downstream', how), 'downstream', nowMs, { how: 'close' })
        break
      default: break
    }
  }

  #onFinished(side: Side, nowMs: number): void {
    this.#relayBits = withFinished(this.#relayBits, side)
    if (isCompleted(this.#relayBits)) this.#end('completed', completedBy(this.#relayBits), nowMs, { how: 'close' })
  }

  #onDeadline(lastActivityMs: number, nowMs: number): void {
    switch (this.#state) {
      case 'proxy-header': this.#refuseAtDeadline('proxy-header-timeout', nowMs); break
      case 'hello': this.#refuseAtDeadline('hello-timeout', nowMs); break
      case 'ticket': this.#refuseAtDeadline('proxy-header-timeout', nowMs); break
      case 'dialing':
        if (this.#tenant === undefined) break
        this.#effects.push({ kind: 'drop-upstream', attempt: this.#attempt })
        if (this.#isResolving) {
          this.#onAttemptFailed('dial-error', `no address of ${this.#endpoint?.address} within ${this.#tenant.connectTimeoutMs} ms`, nowMs)
          break
        }
        this.#tellFailed()
        this.#onAttemptFailed('dial-timeout', `no connection within ${this.#tenant.connectTimeoutMs} ms`, nowMs)
        break
      case 'awaiting-answer':
      case 'relaying': {
        this.#activityMs = Math.max(this.#activityMs, lastActivityMs)
        if (nowMs >= this.#answerDeadlineMs()) this.#onNoAnswer('answer-timeout', `no byte of an answer within ${this.#tenant?.answerTimeoutMs} ms`, nowMs)
        else if (nowMs < this.#relayDeadlineMs()) this.#armRelayDeadline()
        else this.#end(relayDeadlineReason(this.#relayBits, this.#activityMs, this.#drainAtMs(), this.#relayLimits()), 'gateway', nowMs, { how: 'reset' })
        break
      }
      default: break
    }
  }

  #refuseAtDeadline(reason: TerminationReason, nowMs: number): void {
    this.#refuse(reason, nowMs, `not whole ${this.#origin.listener.helloTimeoutMs} ms after the accept`)
  }

  #armRelayDeadline(): void {
    this.#effects.push({ kind: 'deadline', atMs: Math.min(this.#relayDeadlineMs(), this.#answerDeadlineMs()) })
  }

  #answerDeadlineMs(): number {
    return this.#state === 'awaiting-answer' && this.#tenant !== undefined ? this.#askedMs + this.#tenant.answerTimeoutMs : Infinity
  }

  #relayDeadlineMs(): number {
    return relayDeadlineMs(this.#relayBits, this.#activityMs, this.#drainAtMs(), this.#relayLimits())
  }

  #drainAtMs(): number {
    return drainDeadlineMs(this.#drainSinceMs, this.#origin.number, this.#relayLimits())
  }

  #relayLimits(): TenantPolicy {
    if (this.#tenant === undefined) throw new Error('bug: a relayed connection has no tenant')
    return this.#tenant
  }

  /** Ends it before any byte of an answer: the client is told why, in TLS where it speaks that. */
  #refuse(reason: TerminationReason, nowMs: number, detail?: string): void {
    const { alert, outcome } = terminationOf(reason)
    if (outcome === 'failed' && this.#origin.listener.withoutHello === true && this.#origin.handsOver === true && this.#replay !== undefined) {
      this.#detail = detail === undefined ? reason : `${reason}: ${detail}`
      this.#end('handed-over', 'gateway', nowMs, { how: 'hand-over', bytes: this.#replay.bytes() })
      return
    }
    this.#detail = detail
    if (this.#node !== undefined || this.#state === 'ticket' || this.#origin.listener.withoutHello === true) {
      // Who sent a ticket is an agent, which has another way to go; its client may speak anything.
      this.#end(reason, 'gateway', nowMs, { how: 'reset' })
      return
    }
    this.#end(reason, 'gateway', nowMs, alert === undefined ? { how: 'close' } : { how: 'send', bytes: encodeFatalAlert(alert) })
  }

  #end(reason: TerminationReason, closedBy: ClosedBy, nowMs: number, downstream: DownstreamEnd): void {
    const upstream: UpstreamEnd =
      this.#state === 'dialing' || this.#state === 'awaiting-answer' || this.#state === 'relaying'
        ? (reason === 'completed' ? 'close' : 'reset')
        : 'none'
    this.#state = 'ended'
    this.#uncount()
    this.#reason = reason
    this.#closedBy = closedBy
    this.#endedMs = nowMs
    this.#snapshot = undefined
    this.#replay = undefined
    this.#proxyReader = undefined
    this.#helloReader = undefined
    this.#effects.push({ kind: 'end', downstream, upstream })
  }
}
