// A backend's side of one connection: reads the plan out of the hello, follows it, and reports how it went.

import type { Socket } from 'node:net'
import type { BackendFacts } from './facts.ts'
import { PlacedStream, Receiver, Sender } from './flow.ts'
import type { BackendPlan } from './plan.ts'
import { answerHeader, readHello, type BackendInstance } from './wire.ts'

export function serve(socket: Socket, instance: BackendInstance, report: (facts: BackendFacts) => void): void {
  let head = Buffer.alloc(0)
  const onHead = (chunk: Buffer): void => {
    head = Buffer.concat([head, chunk])
    const hello = readHello(head)
    if (hello === undefined) return
    socket.off('data', onHead).off('end', onEarlyEnd)
    if (hello.plan === undefined) {
      socket.destroy()
      return
    }
    const connection = new BackendConnection(socket, instance, hello.plan)
    socket.once('close', () => report(connection.facts()))
    connection.begin(head.subarray(hello.helloBytes))
  }
  const onEarlyEnd = (): void => {
    socket.destroy()
  }
  // An error is followed by 'close'.
  socket.on('error', () => undefined).on('data', onHead).on('end', onEarlyEnd)
}

class BackendConnection {
  readonly #socket: Socket
  readonly #instance: BackendInstance
  readonly #plan: BackendPlan
  readonly #receiver: Receiver
  readonly #sender: Sender
  #echoedBytes = 0
  #end: BackendFacts['end'] | undefined
  #answering = false
  #received: Buffer[] = []

  constructor(socket: Socket, instance: BackendInstance, plan: BackendPlan) {
    this.#socket = socket
    this.#instance = instance
    this.#plan = plan
    this.#receiver = new Receiver({ socket, stream: new PlacedStream(plan.seed), totalBytes: plan.upBytes, stall: plan.stall })
    this.#sender = new Sender({
      socket,
      stream: new PlacedStream(plan.seed + 1),
      totalBytes: plan.answer === 'stream' ? plan.downBytes : 0,
      pace: plan.pace,
      onSent: () => {
        this.#resetIfDue()
        this.#endIfDone()
      },
    })
  }

  begin(rest: Buffer): void {
    const { answerDelayMs } = this.#plan
    const socket = this.#socket
    socket.on('data', (chunk: Buffer) => this.#onData(chunk))
    socket.on('end', () => {
      this.#end ??= 'fin'
      this.#endIfDone()
    })
    socket.on('error', () => {
      this.#end ??= 'reset'
    })
    socket.on('drain', () => {
      socket.resume()
      this.#endIfDone()
    })
    if (rest.byteLength > 0) this.#onData(rest)
    if (answerDelayMs === 0) this.#answer()
    else setTimeout(() => this.#answer(), answerDelayMs)
  }

  facts(): BackendFacts {
    const { id } = this.#plan
    return {
      from: 'backend', id, endMs: Date.now(), ...this.#instance,
      sentBytes: this.#sentBytes,
      receivedBytes: this.#receiver.receivedBytes,
      end: this.#end ?? 'reset',
      ...(this.#receiver.wrong === undefined ? {} : { wrong: this.#receiver.wrong }),
    }
  }

  get #sentBytes(): number {
    return this.#echoedBytes + this.#sender.sentBytes
  }

  #answer(): void {
    if (this.#socket.destroyed) return
    if (this.#plan.end === 'unanswered') {
      this.#end ??= 'unanswered'
      this.#socket.destroy()
      return
    }
    this.#answering = true
    this.#socket.write(answerHeader(this.#instance, this.#plan.id))
    for (const chunk of this.#received.splice(0)) this.#echo(chunk)
    this.#sender.limitBytes = Infinity
    this.#sender.send()
    this.#resetIfDue()
    this.#endIfDone()
  }

  #onData(chunk: Buffer): void {
    this.#receiver.take(chunk)
    if (this.#plan.answer === 'echo') {
      if (this.#answering) this.#echo(chunk)
      else this.#received.push(chunk)
    }
    this.#resetIfDue()
    this.#endIfDone()
  }

  #echo(chunk: Buffer): void {
    if (!this.#socket.writable) return
    this.#echoedBytes += chunk.byteLength
    if (!this.#socket.write(chunk)) this.#socket.pause()
  }

  #resetIfDue(): void {
    const { end, resetAtBytes } = this.#plan
    if (end !== 'reset' || !this.#answering || this.#socket.destroyed) return
    if (this.#receiver.receivedBytes + this.#sentBytes <= resetAtBytes) return
    this.#end ??= 'own-reset'
    this.#socket.resetAndDestroy()
  }

  #endIfDone(): void {
    const { end, downBytes } = this.#plan
    if (!this.#answering || this.#socket.writableEnded || this.#socket.destroyed) return
    if (this.#end === 'fin' ? this.#sender.done : end === 'fin-first' && this.#sentBytes === downBytes) this.#socket.end()
  }
}
