// A lease, renewed as long as its holder runs. What counts is the holder's clock: once its time to live has passed without an answer
// to a renewal, the lease is given up, whatever etcd may still think of it (a new leader grants every lease its whole time anew).
//
// In etcd it is several leases, each with a few keys: where authentication is on, every put under one looks whether the user may put all the keys
// that it has (checkLeasePuts), one put at a time for the whole cluster. With 3,000 keys under one, putting them took half a minute.

//
// A try whose answer was lost may be carried out after later ones: so each change names the revision that it follows. Of a key that is not there
// any more that is none, as before its first put; where a try of that may be left, the removal changes a guard, which each change names too.

import { randomBytes } from 'node:crypto'
import { status } from '@grpc/grpc-js'
import { KeyOrder } from '../key-order.ts'
import { checkKey, checkValue, StoreUnavailableError, type Lease, type LeaseOptions } from '../store.ts'
import { methods, type KeyValue, type TxnRequest } from './etcd-api.ts'
import type { EtcdKeys } from './etcd-keys.ts'
import { isServiceError, type Members } from './members.ts'

const renewalsPerTtl = 3
const keysPerPartMax = 64
/** Changes of one key, each after another's was found there. */
const attemptsMax = 5

interface EtcdLeaseParts {
  readonly members: Members
  readonly keys: EtcdKeys
  readonly options: LeaseOptions
  readonly forgotten: (lease: EtcdLease) => void
}

/** A lease of etcd. */
interface Part {
  readonly id: Promise<string>
  readonly keys: Set<string>
}

export class EtcdLease implements Lease {
  readonly #parts: EtcdLeaseParts
  readonly #order = new KeyOrder()
  readonly #timer: NodeJS.Timeout
  readonly #partOf = new Map<string, Part>()
  readonly #withRoom = new Set<Part>()
  /** That are granted. */
  readonly #ids = new Set<string>()
  /** Of keys that are there, as far as is known. */
  readonly #revisions = new Map<string, number>()
  /** Of keys of which a try may still be carried out: the guard's revision that it names. */
  readonly #tries = new Map<string, number>()
  readonly #guardKey: Buffer
  /** 0: it is not there. */
  #guardRevision = 0
  #renewedAtMs = performance.now()
  #renewing = false
  /** Undefined: it holds. */
  #ended: string | undefined

  private constructor(parts: EtcdLeaseParts) {
    this.#parts = parts
    this.#guardKey = parts.keys.encode(`guards/${randomBytes(8).toString('hex')}`)
    this.#timer = setInterval(() => void this.#renew(), parts.options.ttlMs / renewalsPerTtl)
    this.#timer.unref()
  }

  /** @throws as `Members.call` */
  static async take(parts: EtcdLeaseParts): Promise<EtcdLease> {
    const lease = new EtcdLease(parts)
    try {
      await lease.#grow().id
    } catch (error) {
      lease.#end('it was not granted')
      throw error
    }
    return lease
  }

  async put(key: string, value: string): Promise<void> {
    checkKey(key)
    checkValue(key, value)
    const bytes = Buffer.from(value)
    await this.#order.run(key, async () => await this.#held(async () => await this.#change(key, await this.#partFor(key).id, bytes)))
  }

  async remove(key: string): Promise<void> {
    checkKey(key)
    await this.#order.run(key, async () => await this.#held(async () => {
      const part = this.#partOf.get(key)
      if (part === undefined) return
      await this.#change(key, await part.id, undefined)
      this.#revisions.delete(key)
      this.#tries.delete(key)
      this.#partOf.delete(key)
      part.keys.delete(key)
      this.#withRoom.add(part)
    }))
  }

  /** @param value undefined: it is to be removed, where it is under this lease */
  async #change(key: string, lease: string, value: Buffer | undefined): Promise<void> {
    const { members, keys } = this.#parts
    const at = keys.encode(key)
    let found: KeyValue | 'as known' | undefined = 'as known'
    for (let attempt = 0; attempt < attemptsMax; attempt++) {
      const guardRevision = this.#guardRevision
      const left = this.#tries.get(key)
      const isOurs = found === 'as known' || found?.lease === lease
      const success: TxnRequest['success'] = value === undefined
        ? [...isOurs ? [{ requestDeleteRange: { key: at } }] : [], ...left === guardRevision ? [{ requestPut: { key: this.#guardKey, value: Buffer.alloc(0), lease } }] : []]
        : [{ requestPut: { key: at, value, lease } }]
      if (success.length === 0 || (typeof found === 'object' && isOurs && value !== undefined && found.value.equals(value))) return
      this.#tries.set(key, guardRevision)
      const { response: { header, succeeded, responses }, isRepeated } = await members.call(methods.txn, {
        compare: [{ target: 'MOD', key: at, modRevision: this.#revisions.get(key) ?? 0 }, { target: 'MOD', key: this.#guardKey, modRevision: guardRevision }],
        success,
        failure: [{ requestRange: { key: at } }, { requestRange: { key: this.#guardKey } }],
      })
      if (!isRepeated) {
        if (left === undefined) this.#tries.delete(key)
        else this.#tries.set(key, left)
      }
      if (succeeded) {
        this.#revisions.set(key, Number(header.revision))
        if (value === undefined && left === guardRevision) this.#guardRevision = Number(header.revision)
        return
      }
      const [kv, guard] = responses.map(({ responseRange }) => responseRange?.kvs[0])
      found = kv
      this.#revisions.set(key, Number(kv?.modRevision ?? 0))
      this.#guardRevision = Math.max(this.#guardRevision, Number(guard?.modRevision ?? 0))
    }
    throw new StoreUnavailableError(`${key} is changed by others all the time; expected a lease’s keys to be its holder’s alone`)
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

  #partFor(key: string): Part {
    const known = this.#partOf.get(key)
    if (known !== undefined) return known
    const [withRoom] = this.#withRoom
    const part = withRoom ?? this.#grow()
    part.keys.add(key)
    this.#partOf.set(key, part)
    if (part.keys.size >= keysPerPartMax) this.#withRoom.delete(part)
    return part
  }

  #grow(): Part {
    const part: Part = { id: this.#grant(), keys: new Set() }
    this.#withRoom.add(part)
    // Whoever waits for it is told; the next put asks for another.
    part.id.catch(() => {
      this.#withRoom.delete(part)
      for (const key of part.keys) this.#partOf.delete(key)
    })
    return part
  }

  async #grant(): Promise<string> {
    const { members, options: { ttlMs } } = this.#parts
    const isFirst = this.#ids.size === 0
    const { response: { ID } } = await members.call(methods.leaseGrant, { TTL: Math.ceil(ttlMs / 1_000) }, {
      // Tries that were not answered may have been granted: these run out by themselves.
      trying: () => {
        if (isFirst) this.#renewedAtMs = performance.now()
      },
    })
    this.#ids.add(ID)
    if (this.#ended === undefined) return ID
    await this.#revoke()
    throw new StoreUnavailableError(`the lease holds no more: ${this.#ended}; expected a new one to be taken`)
  }

  get #leftMs(): number {
    return this.#renewedAtMs + this.#parts.options.ttlMs - performance.now()
  }

  async #renew(): Promise<void> {
    if (this.#renewing || this.#ended !== undefined || this.#ids.size === 0) return
    if (this.#leftMs <= 0) return this.#lose(`its holder did not run for ${Math.round(-this.#leftMs)} ms too long`)
    this.#renewing = true
    const { members, options: { ttlMs } } = this.#parts
    let sentAtMs = performance.now()
    try {
      const renewed = await members.callEach(methods.leaseKeepAlive, [...this.#ids].map((ID) => ({ ID })), {
        callMs: this.#leftMs, attemptMs: ttlMs / renewalsPerTtl, trying: () => {
          sentAtMs = performance.now()
        },
      })
      if (renewed.some(({ TTL }) => Number(TTL) <= 0)) this.#lose('etcd does not have it any more')
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
    await Promise.all([...this.#ids].map(async (ID) => {
      try {
        await this.#parts.members.call(methods.leaseRevoke, { ID })
      } catch (error) {
        if (!isGone(error)) throw error
      }
    }))
  }
}

function isGone(error: unknown): boolean {
  return isServiceError(error) && error.code === status.NOT_FOUND
}
