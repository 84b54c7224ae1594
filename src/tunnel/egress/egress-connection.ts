// A connection of an API server to an egress: its CONNECT is read, an agent dials, the dial's true result is answered, and from
// then on bytes are relayed.
//
//   head ─▶ dialling (what comes early waits) ─▶ answered ─▶ relaying ─▶ ended
//
// What kube-apiserver expects (apiserver/pkg/server/egressselector): exactly 200, and not a byte behind the head before it has
// spoken itself; its log has the status line of any other answer.

import type { AgentTable } from '../../core/egress/agent-table.ts'
import type { EgressRecord, EgressRefusal } from '../../core/egress/egress-observer.ts'
import type { Candidate, LiveConnection } from '../../core/live/live-connection.ts'
import type { LiveItem } from '../../core/live/live-items.ts'
import type { MuxStream, StreamHandler } from '../../core/mux/stream.ts'
import { ConnectHeadReader, connectTargetIn, encodeConnectAnswer, type ConnectStatus } from '../../core/tunnel/connect-head.ts'
import type { SocketHandler, StreamSocket } from '../../core/tunnel/stream-sockets.ts'
import { parseIpAddress } from '../../core/net/ip-address.ts'
import { hostPortIn } from '../../core/net/socket-address.ts'
import type { RelayEnd } from '../../core/tunnel/tunnel-observer.ts'
import { livePhase, SocketRelay, type RelayOwner, type RelayStage } from '../socket-relay.ts'
import { ReverseDial } from './reverse-dial.ts'
import type { Way } from './way.ts'

const egressConnectionLimits = {
  /** From the accept to the whole head. */
  headMsMax: 5_000,
  /** Sent behind the head before there is an answer; more waits in the socket. */
  earlyBytesMax: 64 * 1024,
  /** What the other side says is held back until the API server has spoken, but no longer. */
  silenceMsMax: 100,
  /** For a client that was refused to close too. */
  closeMsMax: 1_000,
} as const

export interface EgressConnectionOptions {
  readonly id: string
  /** The entry's name. */
  readonly egress: string
  readonly socket: StreamSocket
  /** Undefined: nobody that is known; then `stranger` says so. */
  readonly tenant: string | undefined
  readonly stranger: string
}

/** Whose the connections are. */
export interface EgressConnectionOwner {
  readonly table: AgentTable<Way>
  /** Of the tenant: whether one more may wait for its dial. `dialled` gives the place back. */
  mayDial(tenant: string): boolean
  dialled(tenant: string): void
  ended(connection: EgressConnection, record: EgressRecord): void
}

const nothingEarly: Uint8Array[] = []
const nothing = new Uint8Array(0)

export class EgressConnection implements SocketHandler, RelayOwner, LiveItem {
  readonly #owner: EgressConnectionOwner
  readonly #options: EgressConnectionOptions
  readonly #acceptedAtMs = Date.now()
  #head: ConnectHeadReader | undefined = new ConnectHeadReader()
  #phase: RelayStage = 'head'
  #early = nothingEarly
  #earlyBytes = 0
  #target: string | undefined
  #dial: ReverseDial | undefined
  #relay: SocketRelay | undefined
  #status: ConnectStatus | undefined
  #refusal: EgressRefusal | undefined
  #dialledFromMs = 0
  #dialMs: number | undefined
  #node: string | undefined
  #attempts = 0
  #headTimer: NodeJS.Timeout | undefined
  #cutTimer: NodeJS.Timeout | undefined
  /** Its end came while an agent dialled. */
  #isFinished = false

  constructor(options: EgressConnectionOptions, owner: EgressConnectionOwner) {
    this.#owner = owner
    this.#options = options
    const { socket } = options
    socket.handler = this
    socket.resume()
    this.#headTimer = setTimeout(() => this.#refuse(400, 'malformed', `no CONNECT in ${egressConnectionLimits.headMsMax / 1_000} s`), egressConnectionLimits.headMsMax)
  }

  get id(): string {
    return this.#options.id
  }

  get candidate(): Candidate {
    const { tenant, socket: { peer } } = this.#options
    return { kind: 'egress', tenant, endpoint: undefined, id: () => this.id, client: () => peer === undefined ? undefined : parseIpAddress(peer.address) }
  }

  live(slot: number): LiveConnection {
    const { id, egress, tenant, socket: { peer } } = this.#options
    const [target, node, relay] = [this.#target, this.#node ?? this.#dial?.node, this.#relay]
    return {
      id, slot, kind: 'egress', phase: livePhase(this.#phase, relay), egress,
      ...(tenant === undefined ? {} : { tenant }),
      ...(peer === undefined ? {} : { client: peer }),
      ...(target === undefined ? {} : { target }),
      ...(node === undefined ? {} : { node }),
      acceptedAtMs: this.#acceptedAtMs,
      bytesFromDownstream: relay?.fromSocketBytes ?? 0,
      bytesFromUpstream: relay?.toSocketBytes ?? 0,
    }
  }

  close(): boolean {
    if (this.#phase === 'ended') return false
    this.#leave('closed-by-operator', '')
    this.#options.socket.reset()
    this.#relay?.closed(false)
    return true
  }

  /** Ends it now. */
  cut(): void {
    this.#options.socket.reset()
    if (this.#relay === undefined) this.closed()
    else this.#relay.closed(false)
  }

  /** @param msOf its tenant's; one of nobody that is known is refused before long */
  cutAfter(msOf: (tenant: string) => number): void {
    const { tenant } = this.#options
    if (tenant === undefined || this.#phase === 'ended') return
    this.#cutTimer = setTimeout(() => this.cut(), msOf(tenant))
    this.#cutTimer.unref()
  }

  /** Later, it is the relay that is told. */
  received(bytes: Uint8Array): void {
    switch (this.#phase) {
      case 'head': this.#readHead(bytes); break
      case 'dialling': this.#keep(bytes); break
      case 'relaying':
      case 'ended': break
      default: this.#phase satisfies never
    }
  }

  peerFinished(): void {
    this.#isFinished = true
    if (this.#phase === 'head') this.#refuse(400, 'malformed', 'an end before the head was whole')
    // Who has said all may still wait for its answer; one that is gone altogether is told of by this.
    else if (this.#phase === 'dialling') this.#options.socket.write(nothing)
  }

  taken(): void {
    // Of its answer.
  }

  closed(): void {
    this.#leave('abandoned', 'the API server closed before there was an answer')
  }

  #keep(bytes: Uint8Array): void {
    if (this.#early === nothingEarly) this.#early = [bytes]
    else this.#early.push(bytes)
    this.#earlyBytes += bytes.length
    if (this.#earlyBytes >= egressConnectionLimits.earlyBytesMax) this.#options.socket.pause()
  }

  #readHead(bytes: Uint8Array): void {
    const { tenant, stranger } = this.#options
    const head = this.#head?.push(bytes)
    if (head === undefined) return
    this.#head = undefined
    this.#target = head.kind === 'head' ? connectTargetIn(head.firstLine) : undefined
    const target = this.#target === undefined ? undefined : hostPortIn(this.#target)
    if (head.kind === 'malformed') this.#refuse(400, 'malformed', head.detail)
    else if (target === undefined) this.#refuse(400, 'malformed', 'no CONNECT HOST:PORT HTTP/1.1')
    else if (tenant === undefined) this.#refuse(403, 'forbidden', stranger)
    else if (!this.#owner.mayDial(tenant)) this.#refuse(503, 'too-many', `too many connections of ${tenant} wait for their dial`)
    else {
      clearTimeout(this.#headTimer)
      this.#headTimer = undefined
      this.#phase = 'dialling'
      this.#dialledFromMs = performance.now()
      if (head.rest.length > 0) this.#keep(head.rest)
      const dial = new ReverseDial(this.#owner.table, { tenant, ...target }, {
        connected: (stream, node, rest) => this.#connected(tenant, stream, node, rest),
        failed: ({ status, refusal, detail }) => {
          this.#dialOver(tenant)
          this.#refuse(status, refusal, detail)
        },
      })
      this.#dial = dial
      dial.start()
    }
  }

  /** Once for each `mayDial`. */
  #dialOver(tenant: string): void {
    if (this.#dial === undefined) return
    this.#attempts = this.#dial.attempts
    this.#node = this.#dial.node
    this.#dial = undefined
    this.#dialMs = performance.now() - this.#dialledFromMs
    this.#owner.dialled(tenant)
  }

  #connected(tenant: string, stream: MuxStream, node: string, rest: Uint8Array): void {
    const { socket } = this.#options
    this.#dialOver(tenant)
    this.#node = node
    this.#phase = 'relaying'
    this.#status = 200
    socket.write(encodeConnectAnswer(200))
    const relay = new SocketRelay(stream, socket, this)
    this.#relay = relay
    if (this.#early.length > 0) stream.handler = relay
    else new HoldBack(stream, socket, relay).begin()
    if (rest.length > 0) stream.handler?.data(rest)
    for (const bytes of this.#early) relay.received(bytes)
    this.#early = nothingEarly
    if (this.#isFinished) relay.peerFinished()
  }

  relayEnded(end: RelayEnd): void {
    this.#end(end, '')
  }

  #refuse(status: Exclude<ConnectStatus, 200>, refusal: EgressRefusal, detail: string): void {
    const { socket } = this.#options
    clearTimeout(this.#headTimer)
    this.#status = status
    this.#refusal = refusal
    this.#early = nothingEarly
    socket.resume()
    socket.write(encodeConnectAnswer(status, detail))
    socket.finish()
    setTimeout(() => socket.reset(), egressConnectionLimits.closeMsMax).unref()
    this.#end('refused', detail)
  }

  #leave(end: 'abandoned' | 'closed-by-operator', detail: string): void {
    clearTimeout(this.#headTimer)
    const { tenant } = this.#options
    const dial = this.#dial
    if (tenant !== undefined && dial !== undefined) {
      this.#dialOver(tenant)
      dial.abandon()
      this.#dialMs = undefined
    }
    this.#end(end, detail)
  }

  #end(end: EgressRecord['end'], detail: string): void {
    if (this.#phase === 'ended') return
    this.#phase = 'ended'
    clearTimeout(this.#cutTimer)
    const relay = this.#relay
    this.#owner.ended(this, {
      id: this.id, tenant: this.#options.tenant, target: this.#target, node: this.#node, status: this.#status, refusal: this.#refusal, end, detail,
      attempts: this.#attempts, dialMs: this.#dialMs,
      toNodeBytes: relay?.fromSocketBytes ?? 0, fromNodeBytes: relay?.toSocketBytes ?? 0,
    })
  }
}

/** What the stream brings waits for the API server's first byte. The stream's window bounds it. */
class HoldBack implements StreamHandler, SocketHandler {
  readonly #stream: MuxStream
  readonly #socket: StreamSocket
  readonly #relay: SocketRelay
  #held = nothingEarly
  #isFinished = false
  #timer: NodeJS.Timeout | undefined

  constructor(stream: MuxStream, socket: StreamSocket, relay: SocketRelay) {
    this.#stream = stream
    this.#socket = socket
    this.#relay = relay
  }

  begin(): void {
    this.#stream.handler = this
    this.#socket.handler = this
  }

  data(bytes: Uint8Array): void {
    if (this.#held === nothingEarly) this.#held = [bytes]
    else this.#held.push(bytes)
    this.#wait()
  }

  finished(): void {
    this.#isFinished = true
    this.#wait()
  }

  reset(): void {
    clearTimeout(this.#timer)
    this.#relay.reset()
  }

  writable(): void {
    this.#relay.writable()
  }

  received(bytes: Uint8Array): void {
    this.#release()
    this.#relay.received(bytes)
  }

  peerFinished(): void {
    this.#relay.peerFinished()
  }

  taken(bytes: number): void {
    this.#relay.taken(bytes)
  }

  closed(isWhole: boolean): void {
    clearTimeout(this.#timer)
    this.#relay.closed(isWhole)
  }

  #wait(): void {
    this.#timer ??= setTimeout(() => this.#release(), egressConnectionLimits.silenceMsMax)
  }

  #release(): void {
    clearTimeout(this.#timer)
    this.#socket.handler = this.#relay
    this.#stream.handler = this.#relay
    for (const bytes of this.#held) this.#relay.data(bytes)
    if (this.#isFinished) this.#relay.finished()
  }
}
