// What goes on beside the steady requests, in a thread of its own: a storm or an attack. The thread stands behind the relay and the
// backends where they share a core (niceness), as its clients would be other machines.

import { once } from 'node:events'
import { Worker } from 'node:worker_threads'
import type { AttackSpec, AttackTally } from './attack.ts'
import type { CrowdSpec, CrowdTally } from './crowd.ts'

export type SideRequest =
  | { readonly kind: 'storm'; readonly spec: CrowdSpec }
  | { readonly kind: 'attack'; readonly spec: AttackSpec }
  | { readonly kind: 'close' }

export type SideReply =
  | { readonly kind: 'begun' | 'all-in' }
  | { readonly kind: 'stormed'; readonly tally: CrowdTally }
  | { readonly kind: 'attacked'; readonly tally: AttackTally }

export class Side {
  readonly #thread = new Worker(new URL('side-thread.ts', import.meta.url))
  #allIn = false

  constructor() {
    this.#thread.on('message', (reply: SideReply) => {
      if (reply.kind === 'all-in') this.#allIn = true
    })
  }

  /** All clients of the storm are in. */
  get allIn(): boolean {
    return this.#allIn
  }

  async begin(request: Exclude<SideRequest, { kind: 'close' }>): Promise<void> {
    await this.#ask(request, 'begun')
  }

  async closeStorm(): Promise<CrowdTally> {
    return (await this.#ask({ kind: 'close' }, 'stormed')).tally
  }

  async closeAttack(): Promise<AttackTally> {
    return (await this.#ask({ kind: 'close' }, 'attacked')).tally
  }

  async stop(): Promise<void> {
    await this.#thread.terminate()
  }

  /** Rejects with the thread's own error, should it have one. */
  async #ask<Kind extends SideReply['kind']>(request: SideRequest, kind: Kind): Promise<SideReply & { readonly kind: Kind }> {
    this.#thread.postMessage(request)
    for (;;) {
      const [reply] = await once(this.#thread, 'message') as [SideReply]
      if (isOf(reply, kind)) return reply
    }
  }
}

function isOf<Kind extends SideReply['kind']>(reply: SideReply, kind: Kind): reply is SideReply & { readonly kind: Kind } {
  return reply.kind === kind
}
