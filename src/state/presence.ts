// This gateway and its sessions in the store, for as long as it lives, and those of the others (core/tunnel/presence-record.ts).
//
//   session began, ended ─▶ wanted ─▶ what differs is written, a few at a time ─▶ store, under a lease
//   others' keys ─▶ mirrors ─▶ told
//
// A gateway that dies, or stands still for longer than its lease, is gone from there with all its sessions; one that finds its
// lease run out takes another, and writes everything again.

import { setTimeout as delay } from 'node:timers/promises'
import { Backoff } from '../core/tunnel/backoff.ts'
import { encodeGateway, encodeSession, gatewayIn, sessionIn, type PeerGateway, type ReachableFacts } from '../core/tunnel/presence-record.ts'
import { mirror } from './mirror.ts'
import type { Lease, Store, StoreEntry } from './store.ts'

const presenceLimits = {
  /** Others hear of a death after so long, at the latest. */
  leaseMs: 10_000,
  /** At one time. */
  writesMax: 32,
} as const
const retry = { firstMs: 100, waitMsMax: 5_000 } as const

export interface PresenceOptions {
  readonly store: Store
  readonly own: PeerGateway
  readonly others: OtherGateways
  /** The store does not take what is written to it, or has what no gateway writes; told once for each stretch. */
  readonly failed: (error: unknown, context: string) => void
}

export interface OtherGateways {
  gatewaySeen(gateway: PeerGateway): void
  gatewayGone(id: string): void
  sessionSeen(gatewayId: string, session: ReachableFacts): void
  sessionGone(id: string): void
}

export class Presence {
  readonly #options: PresenceOptions
  /** What should be in the store, by key. */
  readonly #wanted = new Map<string, string>()
  /** What is, under this lease; undefined: a write has failed, and may have been carried out. */
  #written = new Map<string, string | undefined>()
  /** Keys to look at, and those that are being written. */
  readonly #changed = new Set<string>()
  readonly #writing = new Map<string, Promise<void>>()
  readonly #stopping = new AbortController()
  readonly #mirrors: { close(): void }[] = []
  #lease: Lease | undefined
  #leasing: Promise<void> | undefined
  /** That writes fail, since one of them did; the next one that succeeds ends it. */
  #isFailing = false

  constructor(options: PresenceOptions) {
    this.#options = options
    this.#wanted.set(`gateways/${options.own.id}`, encodeGateway(options.own))
  }

  /** Once. Resolves when all others that are in the store have been told; this one is there soon. */
  async open(): Promise<void> {
    await this.#takeLease()
    const { store, own, others } = this.#options
    this.#mirrors.push(await mirror(store, 'gateways', {
      put: (entry) => this.#read(entry, (id) => {
        const gateway = id === own.id ? undefined : gatewayIn(id, entry.value)
        if (gateway !== undefined) others.gatewaySeen(gateway)
        return gateway !== undefined || id === own.id
      }),
      removed: (key) => others.gatewayGone(lastOf(key)),
    }))
    this.#mirrors.push(await mirror(store, 'sessions', {
      put: (entry) => this.#read(entry, (id, gatewayId) => {
        const session = gatewayId === own.id ? undefined : sessionIn(id, entry.value)
        if (session !== undefined) others.sessionSeen(gatewayId, session)
        return session !== undefined || gatewayId === own.id
      }),
      removed: (key) => {
        if (!key.startsWith(`sessions/${own.id}/`)) others.sessionGone(lastOf(key))
      },
    }))
  }

  began(session: ReachableFacts): void {
    this.#want(session.id, encodeSession(session))
  }

  ended(sessionId: string): void {
    this.#want(sessionId, undefined)
  }

  /** The others hear of it at once. */
  async close(): Promise<void> {
    this.#stopping.abort()
    for (const each of this.#mirrors) each.close()
    await this.#leasing
    await Promise.all(this.#writing.values())
    await this.#lease?.close().catch((error: unknown) => this.#options.failed(error, 'the gateway’s lease could not be given up: it runs out by itself'))
  }

  #read({ key }: StoreEntry, known: (id: string, parent: string) => boolean): void {
    const [parent = '', id = ''] = key.split('/').slice(-2)
    if (!known(id, parent)) this.#options.failed(new Error(`${key}: no gateway of this version has written that`), 'what the store has of another gateway is ignored')
  }

  #want(sessionId: string, value: string | undefined): void {
    const key = `sessions/${this.#options.own.id}/${sessionId}`
    if (value === undefined) this.#wanted.delete(key)
    else this.#wanted.set(key, value)
    this.#changed.add(key)
    this.#write()
  }

  /** As many at a time as may be; each key by one writer. */
  #write(): void {
    const lease = this.#lease
    if (lease === undefined || this.#stopping.signal.aborted) return
    for (const key of this.#changed) {
      if (this.#writing.size >= presenceLimits.writesMax) return
      if (this.#writing.has(key)) continue
      this.#changed.delete(key)
      this.#writing.set(key, this.#writeOne(lease, key).finally(() => {
        this.#writing.delete(key)
        this.#write()
      }))
    }
  }

  async #writeOne(lease: Lease, key: string): Promise<void> {
    const backoff = new Backoff({ ...retry, random: Math.random })
    while (lease === this.#lease && !this.#stopping.signal.aborted) {
      const value = this.#wanted.get(key)
      if (this.#written.has(key) ? this.#written.get(key) === value && value !== undefined : value === undefined) return
      try {
        if (value === undefined) await lease.remove(key)
        else await lease.put(key, value)
        this.#isFailing = false
        if (lease !== this.#lease) return
        if (value === undefined) this.#written.delete(key)
        else this.#written.set(key, value)
      } catch (error) {
        if (lease === this.#lease) this.#written.set(key, undefined)
        if (!this.#isFailing) this.#options.failed(error, 'the store does not take this gateway’s sessions: others may not reach them')
        this.#isFailing = true
        await delay(backoff.failed(), undefined, { signal: this.#stopping.signal, ref: false }).catch(() => undefined)
      }
    }
  }

  async #takeLease(): Promise<void> {
    const lease = await this.#options.store.lease({
      ttlMs: presenceLimits.leaseMs,
      lost: (why) => {
        this.#lease = undefined
        this.#options.failed(new Error(why), 'the gateway’s lease has run out: others take it for dead until it has another')
        this.#leasing = this.#leaseAgain()
      },
    })
    this.#lease = lease
    this.#written = new Map()
    for (const key of this.#wanted.keys()) this.#changed.add(key)
    this.#write()
  }

  async #leaseAgain(): Promise<void> {
    const backoff = new Backoff({ ...retry, random: Math.random })
    while (!this.#stopping.signal.aborted) {
      try {
        await this.#takeLease()
        return
      } catch {
        // Told when it was lost.
        await delay(backoff.failed(), undefined, { signal: this.#stopping.signal, ref: false }).catch(() => undefined)
      }
    }
  }
}

function lastOf(key: string): string {
  return key.slice(key.lastIndexOf('/') + 1)
}
