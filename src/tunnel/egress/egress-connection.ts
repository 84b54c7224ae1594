// A connection of an API server to an egress: its CONNECT is read, an agent dials, the dial's true result is answered, and from
// then on bytes are relayed.
//
//   head ─▶ dialling (what comes early waits) ─▶ answered ─▶ relaying ─▶ ended
//
// What kube-apiserver expects (apiserver/pkg/server/egressselector): exactly 200, and not a byte behind the head before it has
// spoken itself; its log has the status line of any other answer.

import type { Socket } from 'node:net'
import { TLSSocket } from 'node:tls'
import type { AgentTable } from '../../core/egress/agent-table.ts'
import type { EgressRecord, EgressRefusal } from '../../core/egress/egress-observer.ts'
import type { MuxStream, StreamHandler } from '../../core/mux/stream.ts'
import { ConnectHeadReader, connectTargetIn, encodeConnectAnswer, type ConnectStatus } from '../../core/tunnel/connect-head.ts'
import { hostPortIn } from '../../core/net/socket-address.ts'
import { SocketRelay } from '../socket-relay.ts'
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
  /** Must allow half-open connections. */
  readonly socket: Socket
  /** Undefined: nobody that is known; then `stranger` says so. */
  readonly tenant: string | undefined
  readonly stranger?: string
  readonly table: AgentTable<Way>
  /** Of the tenant: whether one more may wait for its dial. `dialled` gives the place back. */
  readonly mayDial: (tenant: string) => boolean
  readonly dialled: (tenant: string) => void
  readonly ended: (record: EgressRecord) => void
}

export class EgressConnection {
  readonly #options: EgressConnectionOptions
  readonly #head = new ConnectHeadReader()
  #phase: 'head' | 'dialling' | 'relaying' | 'ended' = 'head'
  #early: Uint8Array[] = []
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
  readonly #headTimer: NodeJS.Timeout
  #cutTimer: NodeJS.Timeout | undefined
  readonly #received = (bytes: Buffer): void => this.#data(bytes)
  /** Later, an end is one of the two ways. */
  readonly #finished = (): void => {
    if (this.#phase === 'head') this.#refuse(400, 'malformed', 'an end before the head was whole')
    // Who has said all may still wait for its answer. Of a Unix socket that is closed both ways, not even nothing can be written to it (EPIPE).
    else if (this.#phase === 'dialling' && !(this.#options.socket instanceof TLSSocket)) this.#options.socket.write('')
  }
  readonly #closed = (): void => this.#leave()
  readonly #failed = (): void => undefined

  constructor(options: EgressConnectionOptions) {
    this.#options = options
    const { socket } = options
    socket.on('error', this.#failed)
    socket.on('data', this.#received)
    socket.on('end', this.#finished)
    socket.on('close', this.#closed)
    this.#headTimer = setTimeout(() => this.#refuse(400, 'malformed', `no CONNECT in ${egressConnectionLimits.headMsMax / 1_000} s`), egressConnectionLimits.headMsMax)
  }

  /** Ends it now. */
  cut(): void {
    this.#options.socket.destroy()
  }

  /** @param msOf its tenant's; one of nobody that is known is refused before long */
  cutAfter(msOf: (tenant: string) => number): void {
    const { tenant } = this.#options
    if (tenant === undefined || this.#phase === 'ended') return
    this.#cutTimer = setTimeout(() => this.cut(), msOf(tenant))
    this.#cutTimer.unref()
  }

  #data(bytes: Buffer): void {
    switch (this.#phase) {
      case 'head': this.#readHead(bytes); break
      case 'dialling': this.#keep(bytes); break
      case 'relaying':
      case 'ended': break
      default: this.#phase satisfies never
    }
  }

  #keep(bytes: Uint8Array): void {
    this.#early.push(bytes)
    this.#earlyBytes += bytes.length
    if (this.#earlyBytes >= egressConnectionLimits.earlyBytesMax) this.#options.socket.pause()
  }

  #readHead(bytes: Buffer): void {
    const { tenant, stranger = '' } = this.#options
    const head = this.#head.push(bytes)
    if (head === undefined) return
    this.#target = head.kind === 'head' ? connectTargetIn(head.firstLine) : undefined
    const target = this.#target === undefined ? undefined : hostPortIn(this.#target)
    if (head.kind === 'malformed') this.#refuse(400, 'malformed', head.detail)
    else if (target === undefined) this.#refuse(400, 'malformed', 'no CONNECT HOST:PORT HTTP/1.1')
    else if (tenant === undefined) this.#refuse(403, 'forbidden', stranger)
    else if (!this.#options.mayDial(tenant)) this.#refuse(503, 'too-many', `too many connections of ${tenant} wait for their dial`)
    else {
      clearTimeout(this.#headTimer)
      this.#phase = 'dialling'
      this.#dialledFromMs = performance.now()
      if (head.rest.length > 0) this.#keep(head.rest)
      const dial = new ReverseDial(this.#options.table, { tenant, ...target }, {
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
    this.#options.dialled(tenant)
  }

  #connected(tenant: string, stream: MuxStream, node: string, rest: Uint8Array): void {
    const { socket } = this.#options
    this.#dialOver(tenant)
    this.#node = node
    this.#phase = 'relaying'
    this.#status = 200
    socket.removeListener('data', this.#received)
    socket.removeListener('end', this.#finished)
    socket.removeListener('close', this.#closed)
    socket.removeListener('error', this.#failed)
    socket.write(encodeConnectAnswer(200))
    const relay = new SocketRelay(stream, socket, (end) => this.#end(end, ''))
    this.#relay = relay
    if (this.#early.length > 0) stream.handler = relay
    else holdBack(stream, socket, relay)
    if (rest.length > 0) stream.handler?.data(rest)
    for (const bytes of this.#early) relay.fromSocket(bytes)
    this.#early = []
    // Its end came while an agent dialled: the event is over.
    if (socket.readableEnded) stream.finish()
    socket.resume()
  }

  #refuse(status: Exclude<ConnectStatus, 200>, refusal: EgressRefusal, detail: string): void {
    const { socket } = this.#options
    clearTimeout(this.#headTimer)
    this.#status = status
    this.#refusal = refusal
    this.#early = []
    socket.resume()
    socket.end(encodeConnectAnswer(status, detail))
    setTimeout(() => socket.destroy(), egressConnectionLimits.closeMsMax).unref()
    this.#end('refused', detail)
  }

  #leave(): void {
    clearTimeout(this.#headTimer)
    const { tenant } = this.#options
    const dial = this.#dial
    if (tenant !== undefined) this.#dialOver(tenant)
    dial?.abandon()
    this.#dialMs = undefined
    this.#end('abandoned', 'the API server closed before there was an answer')
  }

  #end(end: EgressRecord['end'], detail: string): void {
    if (this.#phase === 'ended') return
    this.#phase = 'ended'
    clearTimeout(this.#cutTimer)
    const totals = this.#relay?.totals
    this.#options.ended({
      tenant: this.#options.tenant, target: this.#target, node: this.#node, status: this.#status, refusal: this.#refusal, end, detail,
      attempts: this.#attempts, dialMs: this.#dialMs,
      toNodeBytes: totals?.fromSocketBytes ?? 0, fromNodeBytes: totals?.toSocketBytes ?? 0,
    })
  }
}

/** What the stream brings waits for the API server's first byte. The stream's window bounds it. */
function holdBack(stream: MuxStream, socket: Socket, relay: SocketRelay): void {
  let held: Uint8Array[] = []
  let finished = false
  let timer: NodeJS.Timeout | undefined
  const release = (): void => {
    if (stream.handler !== gate) return
    clearTimeout(timer)
    socket.removeListener('data', release)
    stream.handler = relay
    for (const bytes of held) relay.data(bytes)
    held = []
    if (finished) relay.finished()
  }
  const wait = (): void => {
    timer ??= setTimeout(release, egressConnectionLimits.silenceMsMax)
  }
  const gate: StreamHandler = {
    data: (bytes) => {
      held.push(bytes)
      wait()
    },
    finished: () => {
      finished = true
      wait()
    },
    reset: () => {
      clearTimeout(timer)
      stream.handler = relay
      relay.reset()
    },
    writable: () => relay.writable(),
  }
  stream.handler = gate
  socket.once('data', release)
}
