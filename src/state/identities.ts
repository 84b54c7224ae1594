// Join tokens and enrolled nodes, kept in a store:
//
//   tokens/<tenant>/<id>             TokenRecord
//   nodes/<tenant>/<keyId>           NodeRecord, also of a node that came with a certificate
//
// What version 0.1 wrote, tokens/<id> and nodes/<keyId>, stays where it is, and counts as much.
//
// What is decided is in core/identity/; here is what it takes to read, compare and write it so that of two racing enrolments
// with one use left exactly one wins. A secret is shown once, when it is made, and only its hash is kept.
//
// Whoever lets nodes in has a mirror of them: a node that is known needs no round trip, and is let in while the store is away too.

import { createHash, randomBytes } from 'node:crypto'
import type { Admission, CertificateClaim, Claim, KeyClaim, Node } from '../core/identity/admission.ts'
import { formatJoinToken, parseJoinToken, type NodeRecord, type TokenRecord } from '../core/identity/join-token.ts'
import { lastSegment, NodeMirror, storedNode, type NodeWatcher, type StoredNode } from './node-mirror.ts'
import type { Store, StoreEntry } from './store.ts'
import { tokenKey, TokenUses } from './token-uses.ts'

export const identityLimits = {
  /** In the store, over all tenants. */
  tokensMax: 10_000,
  /** In the store, over all tenants: each new key is a node of its own, a renewed certificate's too. */
  nodesMax: 100_000,
  usesMax: 1_000,
  ttlMsMax: 30 * 24 * 60 * 60 * 1_000,
} as const

/** Lost races with other writers before giving up: each was won by somebody. */
const attemptsMax = 100

/** Nodes are not searched again for some that are no longer needed so soon after none was found. */
const fullMsMax = 60_000
/** Of these, at one time: somebody waits for it. */
const removalsMax = 256

/** A limit or a state of what is stored stands against it; the message says which. */
export class IdentityError extends Error {
  readonly code = 'IDENTITY'
}

export interface Token extends TokenRecord {
  readonly id: string
}

export class Identities {
  readonly #store: Store
  readonly #nowMs: () => number
  readonly #nodesMax: number
  #nodeMirror: Promise<NodeMirror> | undefined
  /** Under way: the mirror may not have them yet. */
  #enrolling = 0
  /** Before, no node makes room for another. */
  #fullUntilMs = 0
  #makingRoom: Promise<void> | undefined
  readonly #uses: TokenUses

  /** @param nodesMax @default identityLimits.nodesMax */
  constructor(store: Store, nowMs: () => number = Date.now, nodesMax: number = identityLimits.nodesMax) {
    this.#store = store
    this.#nowMs = nowMs
    this.#nodesMax = nodesMax
    this.#uses = new TokenUses({ store, nowMs, read: tokenIn })
  }

  /**
   * @returns the token's text, which nobody can be shown again
   * @throws {IdentityError} over a limit
   */
  async createToken({ tenant, ttlMs, usesMax }: { readonly tenant: string; readonly ttlMs: number; readonly usesMax: number }): Promise<{ readonly id: string; readonly text: string; readonly expiresAtMs: number }> {
    if (usesMax < 1 || usesMax > identityLimits.usesMax) throw new IdentityError(`a token may be used 1 to ${identityLimits.usesMax} times, not ${usesMax}`)
    if (ttlMs > identityLimits.ttlMsMax) throw new IdentityError(`a token may live for ${identityLimits.ttlMsMax / 86_400_000} days at most`)
    await this.#makeRoomForToken()
    const nowMs = this.#nowMs()
    const [id, secret] = [randomBytes(8).toString('hex'), randomBytes(32).toString('base64url')]
    const record: TokenRecord = {
      tenant, secretSha256: sha256(secret), createdAtMs: nowMs, expiresAtMs: nowMs + ttlMs, usesMax, usedBy: [],
    }
    if (await this.#store.put(tokenKey({ tenant, id }), JSON.stringify(record), 0) === undefined) throw new IdentityError(`token ${id} is there already`)
    return { id, text: formatJoinToken({ tenant, id, secret }), expiresAtMs: record.expiresAtMs }
  }

  /** Those that have expired too, until there is need for their room. */
  async tokens(): Promise<readonly Token[]> {
    return (await this.#store.list('tokens')).map((entry) => Object.assign(tokenIn(entry), { id: lastSegment(entry.key) }))
  }

  async nodes(): Promise<readonly Node[]> {
    return (await this.#store.list('nodes')).map((entry) => nodeOf(storedNode(entry)))
  }

  /** @returns undefined where there is no such token */
  async revokeToken(id: string): Promise<Token | undefined> {
    const entry = (await this.#store.list('tokens')).find(({ key }) => lastSegment(key) === id)
    if (entry === undefined) return undefined
    const record = await this.#revoke(entry.key, tokenIn)
    return record === undefined ? undefined : { id, ...record }
  }

  /** For good: the same key can't enrol again. @returns undefined where there is no such node */
  async revokeNode(keyId: string): Promise<Node | undefined> {
    let revoked: Node | undefined
    for (const { key } of await this.#store.list('nodes')) {
      if (lastSegment(key) !== keyId) continue
      const record = await this.#revoke(key, nodeIn)
      if (record !== undefined) revoked = { keyId, ...record }
    }
    // Whoever asks here, from now on, is told of it.
    if (this.#nodeMirror !== undefined) await (await this.#mirror()).caughtUp()
    return revoked
  }

  /**
   * Who a key belongs to; enrols it where a token or a certificate lets it in.
   * @throws an error with the code TOKEN_USES over a limit of one token's
   * @throws {StoreUnavailableError} for a key that is not known
   */
  async admit(claim: Claim): Promise<Admission> {
    const keyId = keyIdOf(claim.publicKey)
    const known = await (await this.#mirror()).find(keyId)
    if (known !== undefined) return verdictOnNode(nodeOf(known), claim)
    return claim.kind === 'certificate' ? await this.#enrolCertificate(keyId, claim) : await this.#enrolKey(keyId, claim)
  }

  async #enrolKey(keyId: string, claim: KeyClaim): Promise<Admission> {
    const { nodeName, publicKey, tokenText } = claim
    if (tokenText === undefined) return { kind: 'refused', reason: 'node-unknown' }
    const token = parseJoinToken(tokenText)
    if (token === undefined) return { kind: 'refused', reason: 'malformed' }
    // Before it is known whether there is room, which is nobody's to ask who has no token. One that is refused for that has its use when it comes again.
    const taken = await this.#uses.take(token, keyId)
    if (typeof taken === 'string') return { kind: 'refused', reason: taken }
    return await this.#enrolIfRoom(keyId, claim, { tenant: taken.tenant, name: nodeName, publicKey: Buffer.from(publicKey).toString('base64url'), enrolledAtMs: this.#nowMs(), enrolledBy: token.id })
  }

  async #enrolCertificate(keyId: string, claim: CertificateClaim): Promise<Admission> {
    const { tenant, nodeName, publicKey, expiresAtMs } = claim
    return await this.#enrolIfRoom(keyId, claim, { tenant, name: nodeName, publicKey: Buffer.from(publicKey).toString('base64url'), enrolledAtMs: this.#nowMs(), enrolledBy: 'certificate', certificateExpiresAtMs: expiresAtMs })
  }

  async #enrolIfRoom(keyId: string, claim: Claim, record: NodeRecord): Promise<Admission> {
    const nodes = await this.#mirror()
    const isFull = (): boolean => nodes.count + this.#enrolling >= this.#nodesMax
    if (isFull()) {
      this.#makingRoom ??= this.#makeRoomForNodes(nodes).finally(() => {
        this.#makingRoom = undefined
      })
      await this.#makingRoom
    }
    if (isFull()) return { kind: 'refused', reason: 'too-many-nodes', detail: `there are ${nodes.count} nodes, of at most ${this.#nodesMax}, and none that is no longer needed` }
    this.#enrolling += 1
    try {
      return await this.#enrol(keyId, claim, record)
    } finally {
      this.#enrolling -= 1
    }
  }

  async #enrol(keyId: string, claim: Claim, record: NodeRecord): Promise<Admission> {
    const key = `nodes/${record.tenant}/${keyId}`
    if (await this.#store.put(key, JSON.stringify(record), 0) !== undefined) return { kind: 'admitted', node: { keyId, ...record }, isNew: true }
    // The same key on another connection was quicker.
    const other = await this.#store.get(key)
    return other === undefined ? { kind: 'refused', reason: 'node-unknown' } : verdictOnNode({ keyId, ...nodeIn(other) }, claim)
  }

  /** A node that is not there counts as revoked. @throws {StoreUnavailableError} for a key that is not known */
  async isRevoked(keyId: string): Promise<boolean> {
    const node = await (await this.#mirror()).find(keyId)
    return node === undefined || node.revokedAtMs !== undefined
  }

  /**
   * Calls back for each node that is revoked from now on, whoever revokes it; of what was revoked while the store was away, when it is back.
   * @param failed the store is away; nodes that are known go on
   */
  async watchRevocations(revoked: (keyId: string) => void, failed: (why: string) => void, back: () => void = () => undefined): Promise<{ close(): void }> {
    const watcher: NodeWatcher = { revoked, away: failed, back }
    return (await this.#mirror()).watch(watcher)
  }

  /** Begun when it is needed first, and once; it ends with the store. */
  async #mirror(): Promise<NodeMirror> {
    this.#nodeMirror ??= NodeMirror.open(this.#store).catch((error: unknown) => {
      this.#nodeMirror = undefined
      throw error
    })
    return await this.#nodeMirror
  }

  async #revoke<RecordOf extends TokenRecord | NodeRecord>(key: string, read: (entry: StoreEntry) => RecordOf): Promise<RecordOf | undefined> {
    for (let attempt = 0; attempt < attemptsMax; attempt++) {
      const entry = await this.#store.get(key)
      if (entry === undefined) return undefined
      const before = read(entry)
      // Written again where it is so already: who did it may have died before gateways were told.
      const after = { ...before, revokedAtMs: before.revokedAtMs ?? this.#nowMs() }
      if (await this.#store.put(key, JSON.stringify(after), entry.revision) !== undefined) return after
    }
    throw new IdentityError(`${key}: other writers were quicker ${attemptsMax} times`)
  }

  async #makeRoomForNodes(nodes: NodeMirror): Promise<void> {
    const nowMs = this.#nowMs()
    if (nowMs < this.#fullUntilMs) return
    const removable: StoredNode[] = []
    let firstMs = nowMs + fullMsMax
    for (const node of nodes.all()) {
      const fromMs = removableFromMs(node)
      if (fromMs > nowMs) firstMs = Math.min(firstMs, fromMs)
      else if (removable.length < removalsMax) removable.push(node)
    }
    if (removable.length === 0) this.#fullUntilMs = firstMs
    for (const { key, revision } of removable) await this.#store.remove(key, revision)
    await nodes.caughtUp()
  }

  /** Tokens that have expired make room for new ones. */
  async #makeRoomForToken(): Promise<void> {
    const entries = await this.#store.list('tokens')
    if (entries.length < identityLimits.tokensMax) return
    const nowMs = this.#nowMs()
    const expired = entries.filter((entry) => tokenIn(entry).expiresAtMs <= nowMs)
    if (expired.length === 0) throw new IdentityError(`there are ${entries.length} tokens that have not expired: revoke what is not needed, or wait`)
    for (const { key, revision } of expired) await this.#store.remove(key, revision)
  }
}

/** The first half of the public key's SHA-256, in hex: of a raw key, or of a certificate's SubjectPublicKeyInfo. */
export function keyIdOf(publicKey: Uint8Array): string {
  return createHash('sha256').update(publicKey).digest('hex').slice(0, 32)
}

function verdictOnNode(node: Node, claim: Claim): Admission {
  if (node.revokedAtMs !== undefined) return { kind: 'refused', reason: 'node-revoked' }
  if (node.name !== claim.nodeName) return { kind: 'refused', reason: 'name-mismatch', detail: `the key is ${node.name}’s` }
  if (claim.kind === 'certificate' && node.tenant !== claim.tenant) return { kind: 'refused', reason: 'name-mismatch', detail: `the key is of ${node.tenant}, the certificate of ${claim.tenant}` }
  return { kind: 'admitted', node, isNew: false }
}

/**
 * When it may make room for another: with its certificate's end, since it then needs another one; where it was revoked, when no token is left by
 * which it had enrolled. A certificate that was revoked stays so for as long as it is renewed with the same key.
 */
function removableFromMs({ certificateExpiresAtMs, revokedAtMs }: StoredNode): number {
  if (revokedAtMs === undefined) return certificateExpiresAtMs ?? Infinity
  return certificateExpiresAtMs === undefined ? revokedAtMs + identityLimits.ttlMsMax : Infinity
}

function tokenIn({ value }: StoreEntry): TokenRecord {
  return JSON.parse(value)
}

function nodeIn({ value }: StoreEntry): NodeRecord {
  return JSON.parse(value)
}

function nodeOf({ key: _key, revision: _revision, ...node }: StoredNode): Node {
  return node
}

function sha256(text: string): string {
  return createHash('sha256').update(text).digest('hex')
}
