// One lease of etcd, renewed as long as its holder runs. What counts is the holder's clock: once its time to live has passed without an answer
// to a renewal, the lease is given up, whatever etcd may still think of it (a new leader grants every lease its whole time anew).

import { status } from '@grpc/grpc-js'
import { KeyOrder } from '../key-order.ts'
import { checkKey, checkValue, StoreUnavailableError, type Lease, type LeaseOptions } from '../store.ts'
import { methods } from './etcd-api.ts'
import type { EtcdKeys } from './etcd-keys.ts'
import { isServiceError, type Members } from './members.ts'

const renewalsPerTtl = 3

interface EtcdLeaseParts {
  readonly members: Members
  readonly keys: EtcdKeys
  readonly id: string
  /** `performance.now()` before it was granted. */
  readonly grantedAtMs: number
  readonly options: LeaseOptions
  readonly forgotten: (lease: EtcdLease) => void
}

export class EtcdLease implements Lease {
  readonly #parts: EtcdLeaseParts
  readonly #order = new KeyOrder()
  readonly #timer: NodeJS.Timeout
  #renewedAtMs: number
  #renewing = false
  /** Undefined: it holds. */
  #ended: string | undefined

  constructor(parts: EtcdLeaseParts) {
    this.#parts = parts
    this.#renewedAtMs = parts.grantedAtMs
    this.#timer = setInterval(() => void this.#renew(), parts.options.ttlMs / renewalsPerTtl)
    this.#timer.unref()
  }

  async put(key: string, value: string): Promise<void> {
    checkKey(key)
    checkValue(key, value)
    const { members, keys, id } = this.#parts
    await this.#order.run(key, async () => await this.#held(async () => {
      await members.call(methods.put, { key: keys.encode(key), value: Buffer.from(value), lease: id })
    }))
  }

  async remove(key: string): Promise<void> {
    checkKey(key)
    const { members, keys, id } = this.#parts
    const at = keys.encode(key)
    await this.#order.run(key, async () => await this.#held(async () => {
      await members.call(methods.txn, { compare: [{ target: 'LEASE', key: at, lease: id }], success: [{ requestDeleteRange: { key: at } }], failure: [] })
    }))
  }

  async close(): Promise<void> {
    if (this.#ended !== undefined) return
    this.#end('it was closed')
    await this.#revoke()
  }

  /** It runs out by itself. */
  forget(): void {
    this.#end('the store was closed')
  }

  async #held(work: () => Promise<void>): Promise<void> {
    if (this.#ended === undefined && this.#leftMs <= 0) this.#lose('its holder did not run for too long')
    if (this.#ended !== undefined) throw new StoreUnavailableError(`the lease holds no more: ${this.#ended}; expected a new one to be taken`)
    try {
      await work()
    } catch (error) {
      if (!isGone(error)) throw error
      this.#lose('etcd does not have it any more')
      throw new StoreUnavailableError('the lease holds no more: etcd does not have it any more; expected a new one to be taken', { cause: error })
    }
  }

  get #leftMs(): number {
    return this.#renewedAtMs + this.#parts.options.ttlMs - performance.now()
  }

  async #renew(): Promise<void> {
    if (this.#renewing || this.#ended !== undefined) return
    if (this.#leftMs <= 0) return this.#lose(`its holder did not run for ${Math.round(-this.#leftMs)} ms too long`)
    this.#renewing = true
    const { members, id, options: { ttlMs } } = this.#parts
    let sentAtMs = performance.now()
    try {
      const { response } = await members.callOnce(methods.leaseKeepAlive, { ID: id }, {
        callMs: this.#leftMs, attemptMs: ttlMs / renewalsPerTtl, trying: () => {
          sentAtMs = performance.now()
        },
      })
      if (Number(response.TTL) <= 0) this.#lose('etcd does not have it any more')
      else this.#renewedAtMs = sentAtMs
    } catch (error) {
      // Until it has run out the next renewal may succeed.
      if (this.#leftMs <= 0) this.#lose(error instanceof Error ? error.message : String(error))
    } finally {
      this.#renewing = false
    }
  }

  #lose(why: string): void {
    if (this.#ended !== undefined) return
    this.#end(why)
    // Where etcd can't be told it runs out there, a little later.
    this.#revoke().catch(() => undefined)
    this.#parts.options.lost(why)
  }

  #end(why: string): void {
    this.#ended ??= why
    clearInterval(this.#timer)
    this.#parts.forgotten(this)
  }

  async #revoke(): Promise<void> {
    try {
      await this.#parts.members.call(methods.leaseRevoke, { ID: this.#parts.id })
    } catch (error) {
      if (!isGone(error)) throw error
    }
  }
}

function isGone(error: unknown): boolean {
  return isServiceError(error) && error.code === status.NOT_FOUND
}
