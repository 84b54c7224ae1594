// Who may do what at the admin address. Pages that tell of health and count are anybody's who reaches it: kubelets, balancers and Prometheus have
// no credentials. Whatever names tenants or changes something is guarded, by where its request comes in:
//
//   Unix socket               who may open it is the file system's to say
//   TCP, with a token         `Authorization: Bearer …`; off loopback over TLS only, which the configuration makes sure of
//   TCP on loopback, without  any process of this machine, but no web page that somebody's browser here shows (below)
//   TCP elsewhere, without    nobody
//
// A page can have a browser send requests to loopback. One whose name is made to resolve to 127.0.0.1 (DNS rebinding) would read the answers too,
// but its Host header has that name: only names of loopback are taken. Any other page is another origin: its Origin header gives it away, and what browsers
// send without one (GET, a form's POST) changes nothing: a body must be application/json, for which, as for PUT and DELETE, a browser asks leave
// first (CORS), and none is given. A browser adds no bearer token by itself, so where there is one these things are not looked at.

import { createHash, timingSafeEqual } from 'node:crypto'
import type { IncomingHttpHeaders } from 'node:http'
import { hostPortIn } from '../../core/net/socket-address.ts'
import { specialAddress } from '../../core/net/special-ranges.ts'

export type AdminGate =
  | { readonly kind: 'socket' | 'loopback' | 'closed' }
  | { readonly kind: 'token'; readonly digest: Uint8Array }

export interface AccessRefusal {
  readonly status: 401 | 403
  readonly error: string
  readonly expected: string
}

/** @param token absent: none is asked for */
export function gateOf({ address, token }: { readonly address: string; readonly token?: string | undefined }): AdminGate {
  if (token !== undefined) return { kind: 'token', digest: digestOf(token) }
  return { kind: specialAddress(address) === 'loopback' ? 'loopback' : 'closed' }
}

/** What keeps a request from a guarded page; undefined: nothing. */
export function accessRefusal(gate: AdminGate, headers: IncomingHttpHeaders): AccessRefusal | undefined {
  switch (gate.kind) {
    case 'socket': return undefined
    case 'closed': return { status: 403, error: 'not on this address', expected: 'admin.socket, or admin.certificate and admin.tokenFile, or an admin.address on loopback' }
    case 'token': {
      const [, token] = /^Bearer +([^ ]+) *$/i.exec(headers.authorization ?? '') ?? []
      if (token === undefined) return { status: 401, error: 'no token', expected: 'the header Authorization: Bearer TOKEN' }
      // Digests are of one length, and their first difference tells nothing of the token.
      return timingSafeEqual(digestOf(token), gate.digest) ? undefined : { status: 401, error: 'wrong token', expected: 'the one in admin.tokenFile' }
    }
    case 'loopback':
      if (!namesLoopback(headers.host ?? '')) return { status: 403, error: 'the Host header does not name loopback', expected: 'localhost or an address of loopback' }
      return headers.origin === undefined ? undefined : { status: 403, error: 'a request of a web page', expected: 'no Origin header' }
    default: return gate satisfies never
  }
}

/** Of a request with a body that changes something. */
export function isJson(headers: IncomingHttpHeaders): boolean {
  return /^application\/json *(;.*)?$/i.test(headers['content-type'] ?? '')
}

function namesLoopback(host: string): boolean {
  const name = hostPortIn(host)?.host ?? /^\[(.*)\]$/.exec(host)?.[1] ?? host
  return name.toLowerCase() === 'localhost' || specialAddress(name) === 'loopback'
}

function digestOf(token: string): Uint8Array {
  return createHash('sha256').update(token).digest()
}
