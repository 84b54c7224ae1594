// The store of an installation whose gateways are on several machines: etcd's API v3, keys below one prefix. Each call goes to whichever
// member answers (members.ts); all reads are linearizable, so that what one gateway was told is there for the next.

import { randomBytes } from 'node:crypto'
import { status } from '@grpc/grpc-js'
import { checkKey, checkLease, checkValue, StoreUnavailableError, type Lease, type LeaseOptions, type Store, type StoreEntry, type Watch, type Watcher } from '../store.ts'
import { methods, type KeyValue, type TxnRequest } from './etcd-api.ts'
import { EtcdKeys, keyAfter } from './etcd-keys.ts'
import { EtcdLease } from './etcd-lease.ts'
import { EtcdWatch } from './etcd-watch.ts'
import { isServiceError, Members, reasonOf, type MembersOptions } from './members.ts'

/** Entries asked for at once: of the largest values they fit into a response. */
const pageEntriesMax = 200
/** Lists whose revision is compacted while they are read; more is a compaction every second. */
const listAttemptsMax = 5
const probeTtlSeconds = 10
const openMs = 5_000

export interface EtcdOptions extends MembersOptions {
  /** `/sluice`: without a slash at its end. */
  readonly prefix: string
}

interface Listed {
  readonly kvs: readonly KeyValue[]
  readonly revision: number
}

export class EtcdStore implements Store {
  readonly #members: Members
  readonly #keys: EtcdKeys
  readonly #watches = new Set<EtcdWatch>()
  readonly #leases = new Set<EtcdLease>()

  private constructor(members: Members, keys: EtcdKeys) {
    this.#members = members
    this.#keys = keys
  }

  /**
   * Writes and reads below the prefix once, under a lease.
   * @throws {StoreUnavailableError}
   */
  static async open(options: EtcdOptions): Promise<EtcdStore> {
    const members = new Members(options)
    const keys = new EtcdKeys(options.prefix)
    try {
      const key = keys.encode(`probes/${randomBytes(8).toString('hex')}`)
      const limits = { callMs: openMs }
      const { response: { ID } } = await members.call(methods.leaseGrant, { TTL: probeTtlSeconds }, limits)
      await members.call(methods.put, { key, value: Buffer.alloc(0), lease: ID }, limits)
      await members.call(methods.range, { ...keys.range(), limit: 1 }, limits)
      await members.call(methods.leaseRevoke, { ID }, limits)
    } catch (error) {
      members.close()
      throw new StoreUnavailableError(`${members.name}: ${refusalOf(error, options)}`, { cause: error })
    }
    return new EtcdStore(members, keys)
  }

  async get(key: string): Promise<StoreEntry | undefined> {
    checkKey(key)
    const { response: { kvs: [kv] } } = await this.#told(this.#members.call(methods.range, { key: this.#keys.encode(key) }))
    return kv === undefined ? undefined : this.#entryOf(kv)
  }

  async list(prefix: string): Promise<readonly StoreEntry[]> {
    checkKey(prefix)
    const { kvs } = await this.#told(this.#listAt(prefix))
    return kvs.map((kv) => this.#entryOf(kv))
  }

  async put(key: string, value: string, ifRevision: number): Promise<StoreEntry | undefined> {
    checkKey(key)
    checkValue(key, value)
    const at = this.#keys.encode(key)
    const { response: { header, succeeded, responses: [first] }, isRepeated } = await this.#told(this.#members.call(methods.txn, ifUnchanged(at, ifRevision, { requestPut: { key: at, value: Buffer.from(value) } })))
    if (succeeded) return { key, value, revision: Number(header.revision) }
    // A try whose answer was lost may be the writer that was there first.
    const [found] = first?.responseRange?.kvs ?? []
    if (!isRepeated || found === undefined) return undefined
    const entry = this.#entryOf(found)
    return entry.value === value && entry.revision > ifRevision ? entry : undefined
  }

  async remove(key: string, ifRevision: number): Promise<boolean> {
    checkKey(key)
    const at = this.#keys.encode(key)
    const { response: { succeeded, responses: [first] }, isRepeated } = await this.#told(this.#members.call(methods.txn, ifUnchanged(at, ifRevision, { requestDeleteRange: { key: at } })))
    return succeeded || (isRepeated && first?.responseRange?.kvs.length === 0)
  }

  async snapshot(): Promise<readonly StoreEntry[]> {
    const { kvs } = await this.#told(this.#listAt(undefined))
    return kvs.filter(({ lease }) => lease === '0').map((kv) => this.#entryOf(kv))
  }

  async lease(options: LeaseOptions): Promise<Lease> {
    checkLease(options)
    const lease = await this.#told(EtcdLease.take({ members: this.#members, keys: this.#keys, options, forgotten: (it) => this.#leases.delete(it) }))
    this.#leases.add(lease)
    return lease
  }

  async watch(prefix: string, watcher: Watcher): Promise<Watch> {
    checkKey(prefix)
    const watch = new EtcdWatch({
      members: this.#members, keys: this.#keys, prefix, watcher,
      list: async () => {
        const { kvs, revision } = await this.#told(this.#listAt(prefix))
        return { entries: kvs.map((kv) => this.#entryOf(kv)), revision }
      },
      entryOf: (kv) => this.#entryOf(kv),
      revision: async () => Number((await this.#told(this.#members.call(methods.range, { key: this.#keys.encode('none') }))).response.header.revision),
      closed: (it) => this.#watches.delete(it),
    })
    await watch.begin()
    this.#watches.add(watch)
    return watch
  }

  async close(): Promise<void> {
    for (const watch of this.#watches) watch.close()
    for (const lease of this.#leases) lease.forget()
    this.#members.close()
  }

  /** In pages, all of one revision. @param prefix undefined: everything */
  async #listAt(prefix: string | undefined): Promise<Listed> {
    for (let attempt = 1; ; attempt++) {
      try {
        return await this.#readPages(this.#keys.range(prefix))
      } catch (error) {
        if (!isServiceError(error) || error.code !== status.OUT_OF_RANGE || attempt === listAttemptsMax) throw error
      }
    }
  }

  async #readPages({ key, rangeEnd }: { readonly key: Buffer; readonly rangeEnd: Buffer }): Promise<Listed> {
    const found: KeyValue[] = []
    let revision: string | undefined
    for (let from = key; ;) {
      const { response: { header, kvs, more } } = await this.#members.call(methods.range, { key: from, rangeEnd, limit: pageEntriesMax, ...(revision === undefined ? {} : { revision }) })
      revision ??= header.revision
      found.push(...kvs)
      const last = kvs.at(-1)
      if (!more || last === undefined) return { kvs: found, revision: Number(revision) }
      from = keyAfter(last.key)
    }
  }

  #entryOf({ key, value, modRevision }: KeyValue): StoreEntry {
    return { key: this.#keys.decode(key), value: value.toString('utf8'), revision: Number(modRevision) }
  }

  /** etcd's refusals with the words of the store. */
  async #told<Value>(call: Promise<Value>): Promise<Value> {
    try {
      return await call
    } catch (error) {
      if (!isServiceError(error)) throw error
      throw new StoreUnavailableError(`${this.#members.name} refuses: ${error.details}`, { cause: error })
    }
  }
}

function ifUnchanged(key: Buffer, revision: number, change: TxnRequest['success'][number]): TxnRequest {
  return { compare: [{ target: 'MOD', key, modRevision: revision }], success: [change], failure: [{ requestRange: { key } }] }
}

/** What etcd does not like, and what was expected. */
function refusalOf(error: unknown, { prefix, user, certificate }: EtcdOptions): string {
  if (!isServiceError(error)) return reasonOf(error)
  const { code, details } = error
  const who = user !== undefined ? `the user ${user.name}` : certificate !== undefined ? `the user that ${certificate.certFile} names (its CN)` : 'whoever has neither certFile nor username'
  if (code === status.PERMISSION_DENIED) return `${who} may not read and write below ${prefix}/ (${details}); expected a role with that: etcdctl role grant-permission ROLE readwrite --prefix ${prefix}/`
  if (/authentication failed/.test(details) && user !== undefined) return `it refuses ${who} (${details}); expected the user’s password in ${user.passwordFile}`
  if (/authentication is not enabled/.test(details)) return `it has no authentication (${details}), and so no user ${user?.name}; expected etcdctl auth enable, or no username`
  if (/user name is empty/.test(details)) return `it wants to know who asks (${details}); expected username and passwordFile, or a certFile whose CN is a user`
  return `it refuses: ${details}`
}
