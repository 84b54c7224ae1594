// Tickets of the direct lane: what lets a TCP connection of an agent's node, which says nothing that can be told by, through
// the gateway to its tenant's API server.
//
//   grant    what a session hands its agent:  descriptor, and a key that only this descriptor's holder has
//            descriptor   version 1 │ identity 16 │ expires 4 (seconds) │ tenant's length 1 │ tenant
//            key          HMAC(secret of the gateway's process, "sluice-grant-v1" │ descriptor)
//   ticket   what goes before a connection's bytes, in a TLV of a PROXY header:
//            descriptor │ time 6 (ms) │ nonce 8 │ HMAC(key, "sluice-ticket-v1" │ all before), first 16 bytes
//
// A gateway keeps nothing of what it has granted: the secret is enough to judge. It is made anew at each start, when no
// session is left either. Who sees a ticket on its way can't make another, and can't use it twice (seen-tickets.ts).

/** HMAC-SHA-256 of the parts, one behind the other: 32 bytes. */
export type Mac = (key: Uint8Array, ...parts: readonly Uint8Array[]) => Uint8Array

export interface LaneGrant {
  readonly descriptor: Uint8Array
  readonly key: Uint8Array
}

export const ticketLimits = {
  /** Between the agent's idea of the gateway's time and the gateway's own. */
  skewMsMax: 30_000,
  /** Of a grant: sessions hand out another one in time. */
  grantLifeMs: 3_600_000,
} as const

export const nonceBytes = 8
const macBytes = 16
const timeBytes = 6
const identityBytes = 16
const tenantAt = 1 + identityBytes + 4 + 1
const version = 1

const text = new TextEncoder()
const grantLabel = text.encode('sluice-grant-v1')
const ticketLabel = text.encode('sluice-ticket-v1')

/** @param identity the node's key id: 32 hex digits */
export function issueGrant({ tenant, identity, nowMs }: { readonly tenant: string; readonly identity: string; readonly nowMs: number }, secret: Uint8Array, mac: Mac): LaneGrant {
  const name = text.encode(tenant)
  const descriptor = new Uint8Array(tenantAt + name.length)
  descriptor[0] = version
  for (let index = 0; index < identityBytes; index++) descriptor[1 + index] = Number.parseInt(identity.slice(2 * index, 2 * index + 2), 16)
  new DataView(descriptor.buffer).setUint32(1 + identityBytes, Math.floor((nowMs + ticketLimits.grantLifeMs) / 1_000))
  descriptor[tenantAt - 1] = name.length
  descriptor.set(name, tenantAt)
  return { descriptor, key: mac(secret, grantLabel, descriptor) }
}

/** @param nonce `nonceBytes` random ones */
export function makeTicket({ descriptor, key }: LaneGrant, { nowMs, nonce }: { readonly nowMs: number; readonly nonce: Uint8Array }, mac: Mac): Uint8Array {
  const ticket = new Uint8Array(descriptor.length + timeBytes + nonceBytes + macBytes)
  ticket.set(descriptor)
  const view = new DataView(ticket.buffer)
  const at = descriptor.length
  view.setUint16(at, Math.floor(nowMs / 2 ** 32))
  view.setUint32(at + 2, nowMs % 2 ** 32)
  ticket.set(nonce, at + timeBytes)
  const signed = ticket.subarray(0, at + timeBytes + nonceBytes)
  ticket.set(mac(key, ticketLabel, signed).subarray(0, macBytes), signed.length)
  return ticket
}

export type JudgedTicket =
  /** @property mac 16 bytes, different for each ticket */
  | { readonly kind: 'good'; readonly tenant: string; readonly identity: string; readonly mac: Uint8Array }
  | { readonly kind: 'refused'; readonly detail: string }

/** @param isEqual in constant time */
export function judgeTicket(ticket: Uint8Array, { secret, nowMs, mac, isEqual }: { readonly secret: Uint8Array; readonly nowMs: number; readonly mac: Mac; readonly isEqual: (one: Uint8Array, other: Uint8Array) => boolean }): JudgedTicket {
  const at = tenantAt + (ticket[tenantAt - 1] ?? 0)
  if (ticket[0] !== version || ticket.length !== at + timeBytes + nonceBytes + macBytes) return { kind: 'refused', detail: 'a ticket of another form' }
  const descriptor = ticket.subarray(0, at)
  const signed = ticket.subarray(0, ticket.length - macBytes)
  const given = ticket.subarray(ticket.length - macBytes)
  const key = mac(secret, grantLabel, descriptor)
  if (!isEqual(given, mac(key, ticketLabel, signed).subarray(0, macBytes))) return { kind: 'refused', detail: 'a ticket that was not granted here' }
  const view = new DataView(ticket.buffer, ticket.byteOffset, ticket.byteLength)
  const expiresMs = view.getUint32(1 + identityBytes) * 1_000
  const madeMs = view.getUint16(at) * 2 ** 32 + view.getUint32(at + 2)
  if (nowMs >= expiresMs) return { kind: 'refused', detail: 'a grant that has expired' }
  if (Math.abs(nowMs - madeMs) > ticketLimits.skewMsMax) return { kind: 'refused', detail: `a ticket of ${Math.round((madeMs - nowMs) / 1_000)} s from now` }
  let identity = ''
  for (const byte of ticket.subarray(1, 1 + identityBytes)) identity += byte.toString(16).padStart(2, '0')
  return { kind: 'good', tenant: new TextDecoder().decode(descriptor.subarray(tenantAt)), identity, mac: given }
}
