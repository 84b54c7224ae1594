// A client's side of one connection: sends a hello as its plan says, and then follows the plan or leaves. It knows nothing
// of what else goes on; whether this was right is for the ledger.

import { connect, type Socket } from 'node:net'
import type { ClientFacts } from './facts.ts'
import { PlacedStream, Receiver, Sender } from './flow.ts'
import { backendPlanOf, type Plan } from './plan.ts'
import { loopLatenessMs } from './lateness.ts'
import { helloPieces } from './hello-pieces.ts'
import { alertBytes, answerHeaderBytes, answerMark, readAnswerHeader, type BackendInstance } from './wire.ts'

export class ClientConnection {
  readonly #plan: Plan
  readonly #socket: Socket
  readonly #startMs = Date.now()
  readonly #sender: Sender
  readonly #receiver: Receiver
  readonly #timers = new Set<NodeJS.Timeout>()
  #lastMoveMs = Date.now()
  #head = Buffer.alloc(0)
  #localPort: number | undefined
  #answeredBy: BackendInstance | undefined
  #answeredAtMs: number | undefined
  #alert: number | undefined
  #wrong: string | undefined
  #sentFin = false
  #end: ClientFacts['end'] | undefined

  constructor(plan: Plan, port: number, ended: (facts: ClientFacts) => void) {
    this.#plan = plan
    const socket = connect({ port, host: '127.0.0.1', allowHalfOpen: true, noDelay: true })
    this.#socket = socket
    const { seed = 0, upBytes = 0, downBytes = 0, answer = 'stream' } = backendPlanOf(plan) ?? {}
    const { pace, stall } = plan.kind === 'exchange' ? plan : { pace: { chunkBytes: 1, gapMs: 0 }, stall: undefined }
    this.#sender = new Sender({ socket, stream: new PlacedStream(seed), totalBytes: upBytes, pace, onSent: () => this.#moved() })
    this.#receiver = new Receiver({ socket, stream: new PlacedStream(answer === 'stream' ? seed + 1 : seed), totalBytes: downBytes, stall })
    socket.on('connect', () => this.#onConnect())
    socket.on('data', (chunk: Buffer) => this.#onData(chunk))
    socket.on('end', () => this.#onEnd())
    socket.on('error', () => {
      this.#end ??= 'reset'
    })
    socket.on('close', () => {
      for (const timer of this.#timers) clearTimeout(timer)
      ended(this.#facts())
    })
  }

  /** Ends it, as stuck, if nothing has moved for so long. */
  endIfStuck(quietMsMax: number): void {
    if (Date.now() - this.#lastMoveMs < quietMsMax) return
    this.#end ??= 'stuck'
    this.#socket.destroy()
  }

  #onConnect(): void {
    const plan = this.#plan
    this.#localPort = this.#socket.localPort
    const pieces = helloPieces(plan)
    const gapMs = plan.kind === 'slow-hello' ? 120 : plan.hello.gapMs
    const sendNext = (): void => {
      const piece = pieces.shift()
      if (piece !== undefined && this.#socket.writable) this.#socket.write(piece)
      if (pieces.length === 0) this.#helloSent()
      else if (gapMs === 0) sendNext()
      else this.#after(gapMs, sendNext)
    }
    sendNext()
  }

  #helloSent(): void {
    const plan = this.#plan
    switch (plan.kind) {
      case 'exchange':
        this.#sender.limitBytes = Math.max(this.#sender.limitBytes, plan.eagerBytes)
        this.#sender.send()
        if (plan.reset !== undefined && 'afterMs' in plan.reset) this.#after(plan.reset.afterMs, () => this.#leave('reset'))
        break
      case 'leaving-hello':
      case 'leaving-dial': this.#after(plan.leaveAfterMs, () => this.#leave(plan.leave)); break
      case 'unknown-name':
      case 'garbage':
      case 'slow-hello': break
      default: plan satisfies never
    }
  }

  #onData(chunk: Buffer): void {
    this.#lastMoveMs = Date.now()
    if (this.#answeredBy !== undefined) {
      this.#takePayload(chunk)
      return
    }
    this.#head = Buffer.concat([this.#head, chunk])
    if (this.#head[0] === answerMark) {
      if (this.#head.byteLength >= answerHeaderBytes) this.#onAnswer()
    } else if (this.#head.byteLength > alertBytes) {
      this.#wrong ??= `neither an answer nor an alert: ${this.#head.subarray(0, 16).toString('hex')}`
    } else if (this.#head.byteLength === alertBytes) {
      if (this.#head.subarray(0, 6).toString('hex') === '150303000202') this.#alert = this.#head[6]
      else this.#wrong ??= `neither an answer nor an alert: ${this.#head.toString('hex')}`
    }
  }

  #onAnswer(): void {
    const { id, index, generation } = readAnswerHeader(this.#head)
    if (id !== this.#plan.id) this.#wrong ??= `the answer of connection ${id}`
    this.#answeredBy = { index, generation }
    this.#answeredAtMs = Date.now()
    const rest = this.#head.subarray(answerHeaderBytes)
    // As a TLS client, it sends no FIN before it has been answered: that would end the dial.
    this.#sender.limitBytes = Infinity
    this.#sender.send()
    if (rest.byteLength > 0) this.#takePayload(rest)
    this.#moved()
  }

  #takePayload(chunk: Buffer): void {
    this.#receiver.take(chunk)
    this.#moved()
  }

  #moved(): void {
    this.#lastMoveMs = Date.now()
    const plan = this.#plan
    if (plan.kind !== 'exchange' || this.#socket.destroyed) return
    const { reset, fin } = plan
    if (reset !== undefined && 'atBytes' in reset && this.#sender.sentBytes + this.#receiver.receivedBytes > reset.atBytes) this.#leave('reset')
    else if (this.#answeredBy !== undefined && this.#sender.done && (fin === 'when-sent' || this.#receiver.done)) this.#finish()
  }

  #finish(): void {
    if (this.#socket.writableEnded) return
    this.#sentFin = true
    this.#socket.end()
  }

  #onEnd(): void {
    this.#end ??= 'fin'
    // An API server's FIN does not keep the client from sending the rest; anything less than the whole answer does.
    if (this.#answeredBy === undefined || !this.#receiver.done) this.#socket.destroy()
    else if (this.#sender.done) this.#finish()
  }

  #leave(how: 'fin' | 'reset' | 'close'): void {
    if (this.#socket.destroyed) return
    switch (how) {
      case 'fin': this.#finish(); break
      case 'close':
        this.#end = 'left-close'
        this.#socket.destroy()
        break
      case 'reset':
        this.#end = 'left-reset'
        // libuv can't reset after a FIN.
        if (this.#socket.writableEnded) this.#socket.destroy()
        else this.#socket.resetAndDestroy()
        break
      default: how satisfies never
    }
  }

  #after(ms: number, run: () => void): void {
    const timer = setTimeout(() => {
      this.#timers.delete(timer)
      if (!this.#socket.destroyed) run()
    }, ms)
    this.#timers.add(timer)
  }

  #facts(): ClientFacts {
    const wrong = this.#wrong ?? this.#receiver.wrong
    return {
      from: 'client', id: this.#plan.id, startMs: this.#startMs, endMs: Date.now(),
      sentBytes: this.#sender.sentBytes, receivedBytes: this.#receiver.receivedBytes, sentFin: this.#sentFin,
      end: this.#end ?? 'reset', lateMs: loopLatenessMs(this.#startMs),
      ...(this.#localPort === undefined ? {} : { localPort: this.#localPort }),
      ...(this.#answeredBy === undefined ? {} : { answeredBy: this.#answeredBy }),
      ...(this.#answeredAtMs === undefined ? {} : { answeredAtMs: this.#answeredAtMs }),
      ...(this.#alert === undefined ? {} : { alert: this.#alert }),
      ...(wrong === undefined ? {} : { wrong }),
    }
  }
}
