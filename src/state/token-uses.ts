// Uses of join tokens, for each token by one writer at a time: nodes that come together, a rollout of thousands with one token,
// would race for its record, and all but one of each round would have read and written for nothing. Those that come meanwhile
// wait, and have their uses in one write.

import { createHash, timingSafeEqual } from 'node:crypto'
import { tokenVerdict, type IdentityRefusal, type JoinToken, type TokenRecord } from '../core/identity/join-token.ts'
import type { Store, StoreEntry } from './store.ts'

/** Lost races with other processes before giving up: each was won by somebody. */
const attemptsMax = 100
/** For one token; more are turned away. */
const waitingMax = 10_000

/** A limit stands against it; the message says which. */
class TokenUsesError extends Error {
  readonly code = 'TOKEN_USES'
}

/** The token, of which one use is this key's now; or why not. */
type Taken = TokenRecord | IdentityRefusal

interface Waiting {
  readonly secret: string
  readonly keyId: string
  readonly resolve: (taken: Taken) => void
  readonly reject: (error: unknown) => void
}

export class TokenUses {
  readonly #store: Store
  readonly #nowMs: () => number
  readonly #read: (entry: StoreEntry) => TokenRecord
  /** By the token's key: those that wait for the write under way. */
  readonly #waiting = new Map<string, Waiting[]>()

  constructor({ store, nowMs, read }: { readonly store: Store; readonly nowMs: () => number; readonly read: (entry: StoreEntry) => TokenRecord }) {
    this.#store = store
    this.#nowMs = nowMs
    this.#read = read
  }

  /**
   * A key that has a use already takes no second one.
   * @throws an error with the code TOKEN_USES over a limit
   */
  async take(token: JoinToken, keyId: string): Promise<Taken> {
    return await new Promise((resolve, reject) => {
      const own: Waiting = { secret: token.secret, keyId, resolve, reject }
      const key = tokenKey(token)
      const waiting = this.#waiting.get(key)
      if (waiting === undefined) {
        this.#waiting.set(key, [own])
        void this.#serve(key)
      } else if (waiting.length < waitingMax) waiting.push(own)
      else reject(new TokenUsesError(`token ${token.id}: ${waitingMax} nodes wait already`))
    })
  }

  async #serve(key: string): Promise<void> {
    for (let batch = this.#waiting.get(key) ?? []; batch.length > 0; batch = this.#waiting.get(key) ?? []) {
      this.#waiting.set(key, [])
      try {
        const taken = await this.#takeAll(key, batch)
        for (const [index, { resolve }] of batch.entries()) resolve(taken[index] ?? 'token-unknown')
      } catch (error) {
        for (const { reject } of batch) reject(error)
      }
    }
    this.#waiting.delete(key)
  }

  async #takeAll(key: string, batch: readonly Waiting[]): Promise<readonly Taken[]> {
    for (let attempt = 0; attempt < attemptsMax; attempt++) {
      const entry = await this.#store.get(key)
      if (entry === undefined) return batch.map(() => 'token-unknown')
      const token = this.#read(entry)
      const usedBy = [...token.usedBy]
      const used: TokenRecord = { ...token, usedBy }
      const taken = batch.map(({ secret, keyId }): Taken => {
        const secretMatches = timingSafeEqual(Buffer.from(token.secretSha256, 'hex'), createHash('sha256').update(secret).digest())
        const verdict = tokenVerdict(used, { keyId, secretMatches, nowMs: this.#nowMs() })
        if (verdict === undefined) usedBy.push(keyId)
        return verdict === undefined || verdict === 'used-already' ? used : verdict
      })
      if (usedBy.length === token.usedBy.length || await this.#store.put(entry.key, JSON.stringify(used), entry.revision) !== undefined) return taken
    }
    throw new TokenUsesError(`${key}: other writers were quicker ${attemptsMax} times`)
  }
}

/** Where it is kept. */
export function tokenKey({ tenant, id }: Pick<JoinToken, 'tenant' | 'id'>): string {
  return tenant === undefined ? `tokens/${id}` : `tokens/${tenant}/${id}`
}
