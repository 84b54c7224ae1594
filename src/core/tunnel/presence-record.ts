// What gateways tell each other through the store: that they run, where they are reached and by which key they are known, and
// which sessions they have.
//
//   gateways/<id>                 {"publicKey":"…","host":"10.1.0.5","port":6443}
//   sessions/<gateway>/<id>       {"tenant":"acme","node":"worker-1","keyId":"…","sinceMs":…,"announced":{…}}

import type { Reachable } from '../egress/agent-table.ts'
import type { GatewayIdentity } from '../identity/peer-proof.ts'
import { namePattern } from '../name.ts'
import type { HostPort } from '../net/socket-address.ts'
import { isAnnounced } from './announcement.ts'

/** Of an Ed25519 key. */
const publicKeyBytes = 32

/** A gateway of the installation. */
export interface PeerGateway extends GatewayIdentity {
  /** Where other gateways reach it. */
  readonly at: Pick<HostPort, 'host' | 'port'>
}

/** A session, but for how it is reached from here. */
export type ReachableFacts = Omit<Reachable<unknown>, 'way' | 'distance'>

export function encodeGateway({ publicKey, at: { host, port } }: PeerGateway): string {
  return JSON.stringify({ publicKey: btoa(String.fromCharCode(...publicKey)), host, port })
}

/** @returns undefined for what no gateway has written */
export function gatewayIn(id: string, text: string): PeerGateway | undefined {
  const { publicKey, host, port } = objectIn(text)
  if (typeof publicKey !== 'string' || typeof host !== 'string' || host === '' || !isPort(port) || !/^[A-Za-z0-9+/]{43}=$/.test(publicKey)) return undefined
  const bytes = Uint8Array.from(atob(publicKey), (each) => each.charCodeAt(0))
  return bytes.length === publicKeyBytes ? { id, publicKey: bytes, at: { host, port } } : undefined
}

export function encodeSession({ tenant, node, keyId, sinceMs, announced: { addresses, ranges, names, isNameRefused } }: ReachableFacts): string {
  return JSON.stringify({ tenant, node, keyId, sinceMs, announced: { addresses, ranges, names, isNameRefused } })
}

/** @returns undefined for what no gateway has written */
export function sessionIn(id: string, text: string): ReachableFacts | undefined {
  const { tenant, node, keyId, sinceMs, announced } = objectIn(text)
  const { addresses, ranges, names, isNameRefused } = isObject(announced) ? announced : {}
  if (!isName(tenant) || !isName(node) || typeof keyId !== 'string' || typeof sinceMs !== 'number') return undefined
  if (!areTexts(addresses) || !areTexts(ranges) || !areTexts(names) || !isAnnounced({ addresses, ranges, names })) return undefined
  return { id, tenant, node, keyId, sinceMs, announced: { addresses, ranges, names, ...(isNameRefused === true ? { isNameRefused } : {}) } }
}

function objectIn(text: string): Readonly<Record<string, unknown>> {
  try {
    const value: unknown = JSON.parse(text)
    return isObject(value) ? value : {}
  } catch {
    return {}
  }
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null
}

function isPort(value: unknown): value is number {
  return typeof value === 'number' && Number.isInteger(value) && value >= 1 && value <= 65_535
}

function isName(value: unknown): value is string {
  return typeof value === 'string' && namePattern.test(value)
}

function areTexts(value: unknown): value is readonly string[] {
  return Array.isArray(value) && value.every((each) => typeof each === 'string')
}
