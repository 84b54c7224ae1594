// Tickets of the tunnel's direct lane (core/tunnel/ticket.ts) with this machine's clock and cryptography: judged, each once,
// by every thread of a gateway, and made by agents.

import { createHmac, randomBytes, timingSafeEqual } from 'node:crypto'
import type { EndpointGrant } from '../core/balance/endpoint.ts'
import { SeenTickets, seenTicketsCells } from '../core/tunnel/seen-tickets.ts'
import { judgeTicket, makeTicket, nonceBytes, ticketLimits, type JudgedTicket } from '../core/tunnel/ticket.ts'

/** Of one gateway process: plain data, for its threads. */
export interface TicketSecrets {
  readonly secret: Uint8Array
  /** For `SeenTickets`. */
  readonly seen: SharedArrayBuffer
}

export function createTicketSecrets(): TicketSecrets {
  return { secret: randomBytes(32), seen: new SharedArrayBuffer(seenTicketsCells * BigUint64Array.BYTES_PER_ELEMENT) }
}

/** As `Mac` in core/tunnel/ticket.ts. */
export function hmacSha256(key: Uint8Array, ...parts: readonly Uint8Array[]): Uint8Array {
  const hmac = createHmac('sha256', key)
  for (const part of parts) hmac.update(part)
  return hmac.digest()
}

/** Node by node, until no grant of theirs is good any more. */
export class RevokedNodes {
  /** By key id: Unix time in milliseconds. */
  readonly #untilMs = new Map<string, number>()

  add(node: string): void {
    const nowMs = Date.now()
    for (const [each, untilMs] of this.#untilMs) if (untilMs <= nowMs) this.#untilMs.delete(each)
    this.#untilMs.set(node, nowMs + ticketLimits.grantLifeMs)
  }

  has(node: string): boolean {
    return this.#untilMs.has(node)
  }

  get all(): readonly string[] {
    return [...this.#untilMs.keys()]
  }
}

export class TicketJudge {
  readonly #secret: Uint8Array
  readonly #seen: SeenTickets
  readonly #revoked = new RevokedNodes()

  constructor({ secret, seen }: TicketSecrets) {
    this.#secret = secret
    this.#seen = new SeenTickets(seen)
  }

  /** Tickets of this node let nobody through from now on. */
  revoke(node: string): void {
    this.#revoked.add(node)
  }

  readonly judge = (ticket: Uint8Array): JudgedTicket => {
    const nowMs = Date.now()
    const judged = judgeTicket(ticket, { secret: this.#secret, nowMs, mac: hmacSha256, isEqual: timingSafeEqual })
    if (judged.kind === 'refused') return judged
    if (this.#revoked.has(judged.identity)) return { kind: 'refused', detail: 'its node was revoked' }
    const nowSeconds = Math.floor(nowMs / 1_000)
    // One that is as far ahead as it may be can come again for twice the skew.
    const taken = this.#seen.take(judged.mac, { nowSeconds, untilSeconds: nowSeconds + 2 * Math.ceil(ticketLimits.skewMsMax / 1_000) + 1 })
    if (taken === 'new') return judged
    return { kind: 'refused', detail: taken === 'seen' ? 'a ticket that was used before' : 'more tickets than can be remembered' }
  }
}

export function ticketFor(grant: EndpointGrant): Uint8Array {
  return makeTicket(grant, { nowMs: Date.now() + grant.clockOffsetMs, nonce: randomBytes(nonceBytes) }, hmacSha256)
}
