// Calls between two threads, each of which has methods for the other: by name, with one argument that can be cloned, and
// with an answer or without.
//
//   call('admit', claim) ─▶ { call: 7, name, argument } ─▶ own.admit(claim) ─▶ { answer: 7, value } ─▶ resolved

import type { MessagePort } from 'node:worker_threads'

export interface Port {
  postMessage(message: unknown, transfer: MessagePort[]): void
  on(event: 'message', received: (message: unknown) => void): unknown
}

/** What a thread does for the other. */
export type Methods<Of> = { readonly [Name in keyof Of]: (argument: never) => unknown }

type Argument<Method> = Method extends (argument: infer Of) => unknown ? Of : never
type Answer<Method> = Method extends (argument: never) => infer Of ? Awaited<Of> : never

type Message =
  | { readonly kind: 'call'; readonly number: number; readonly name: PropertyKey; readonly argument: unknown }
  | { readonly kind: 'tell'; readonly name: PropertyKey; readonly argument: unknown }
  | { readonly kind: 'answer'; readonly number: number; readonly value: unknown }
  | { readonly kind: 'failure'; readonly number: number; readonly error: unknown }

/** `Own` is what is done here, `Other` what the other thread does. */
export class ThreadCalls<Own extends Methods<Own>, Other extends Methods<Other>> {
  readonly #port: Port
  readonly #own: Own
  readonly #pending = new Map<number, PromiseWithResolvers<unknown>>()
  #calls = 0
  #closed: Error | undefined

  constructor(port: Port, own: Own) {
    this.#port = port
    this.#own = own
    port.on('message', (message) => this.#received(message as Message))
  }

  /** @throws what the method throws, and once it is closed, why */
  async call<Name extends keyof Other>(name: Name, argument: Argument<Other[Name]>): Promise<Answer<Other[Name]>> {
    if (this.#closed !== undefined) throw this.#closed
    const number = ++this.#calls
    const pending = Promise.withResolvers<unknown>()
    this.#pending.set(number, pending)
    this.#post({ kind: 'call', number, name, argument })
    return await pending.promise as Answer<Other[Name]>
  }

  /** Nobody waits for it; a method that throws ends its thread. @param transfer what of the argument is the other's from here on */
  tell<Name extends keyof Other>(name: Name, argument: Argument<Other[Name]>, transfer: MessagePort[] = []): void {
    if (this.#closed === undefined) this.#port.postMessage({ kind: 'tell', name, argument } satisfies Message, transfer)
  }

  get isClosed(): boolean {
    return this.#closed !== undefined
  }

  /** The other thread is gone: whoever waits is told. */
  close(why: Error): void {
    this.#closed = why
    for (const { reject } of this.#pending.values()) reject(why)
    this.#pending.clear()
  }

  #post(message: Message): void {
    this.#port.postMessage(message, [])
  }

  #received(message: Message): void {
    switch (message.kind) {
      case 'call': void this.#answer(message); break
      case 'tell': this.#method(message.name)(message.argument); break
      case 'answer': this.#settle(message.number)?.resolve(message.value); break
      case 'failure': this.#settle(message.number)?.reject(message.error); break
      default: message satisfies never
    }
  }

  async #answer({ number, name, argument }: Message & { readonly kind: 'call' }): Promise<void> {
    try {
      this.#post({ kind: 'answer', number, value: await this.#method(name)(argument) })
    } catch (error) {
      this.#post({ kind: 'failure', number, error })
    }
  }

  #method(name: PropertyKey): (argument: unknown) => unknown {
    return this.#own[name as keyof Own] as unknown as (argument: unknown) => unknown
  }

  #settle(number: number): PromiseWithResolvers<unknown> | undefined {
    const pending = this.#pending.get(number)
    this.#pending.delete(number)
    return pending
  }
}
