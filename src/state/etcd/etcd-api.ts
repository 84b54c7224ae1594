// The messages of etcd.proto as the store writes and reads them, and its methods. 64-bit numbers come as decimal texts: a lease's id has
// more bits than a number holds; a revision, which grows by one with each write, never will.

import { fileURLToPath } from 'node:url'
import { loadSync } from '@grpc/proto-loader'

interface Header {
  readonly revision: string
}

export interface KeyValue {
  readonly key: Buffer
  readonly value: Buffer
  readonly modRevision: string
  /** `0`: none. */
  readonly lease: string
}

interface RangeRequest {
  readonly key: Buffer
  readonly rangeEnd?: Buffer
  readonly limit?: number
  readonly revision?: string
}

interface RangeResponse {
  readonly header: Header
  readonly kvs: readonly KeyValue[]
  readonly more: boolean
}

interface PutRequest {
  readonly key: Buffer
  readonly value: Buffer
  readonly lease?: string
}

interface Compare {
  readonly target: 'MOD' | 'LEASE'
  readonly key: Buffer
  readonly modRevision?: number
  readonly lease?: string
}

interface RequestOp {
  readonly requestRange?: RangeRequest
  readonly requestPut?: PutRequest
  readonly requestDeleteRange?: { readonly key: Buffer }
}

export interface TxnRequest {
  readonly compare: readonly Compare[]
  readonly success: readonly RequestOp[]
  readonly failure: readonly RequestOp[]
}

interface TxnResponse {
  readonly header: Header
  readonly succeeded: boolean
  readonly responses: readonly { readonly responseRange?: RangeResponse }[]
}

interface WatchRequest {
  readonly createRequest?: { readonly key: Buffer; readonly rangeEnd: Buffer; readonly startRevision: number; readonly progressNotify: boolean; readonly fragment: boolean }
  readonly progressRequest?: Readonly<Record<string, never>>
}

export interface WatchResponse {
  readonly header: Header
  readonly created: boolean
  readonly canceled: boolean
  /** `0`: it was not for compaction that it was cancelled. */
  readonly compactRevision: string
  readonly cancelReason: string
  /** The next response is of the same revision. */
  readonly fragment: boolean
  readonly events: readonly { readonly type: 'PUT' | 'DELETE'; readonly kv: KeyValue }[]
}

interface LeaseRequest {
  readonly ID: string
}

interface LeaseGranted {
  readonly ID: string
  readonly error: string
}

/** One method: where it is, and how its messages become bytes. */
export interface Method<Request, Response> {
  readonly path: string
  readonly serialize: (request: Request) => Buffer
  readonly deserialize: (bytes: Buffer) => Response
}

const definition = loadSync(fileURLToPath(new URL('etcd.proto', import.meta.url)), { longs: String, enums: String, defaults: true, oneofs: true })

/** That its types are those of etcd.proto is on whoever calls it. */
function method<Request extends object, Response extends object>(service: string, name: string): Method<Request, Response> {
  const found = definition[`etcdserverpb.${service}`]
  const it = found === undefined || 'format' in found ? undefined : found[name]
  if (it === undefined) throw new Error(`bug: etcd.proto has no ${service}.${name}`)
  return { path: it.path, serialize: it.requestSerialize, deserialize: (bytes) => it.responseDeserialize(bytes) as Response }
}

export const methods = {
  range: method<RangeRequest, RangeResponse>('KV', 'Range'),
  put: method<PutRequest, { readonly header: Header }>('KV', 'Put'),
  txn: method<TxnRequest, TxnResponse>('KV', 'Txn'),
  watch: method<WatchRequest, WatchResponse>('Watch', 'Watch'),
  leaseGrant: method<{ readonly TTL: number }, LeaseGranted>('Lease', 'LeaseGrant'),
  leaseRevoke: method<LeaseRequest, { readonly header: Header }>('Lease', 'LeaseRevoke'),
  leaseKeepAlive: method<LeaseRequest, { readonly TTL: string }>('Lease', 'LeaseKeepAlive'),
  authenticate: method<{ readonly name: string; readonly password: string }, { readonly token: string }>('Auth', 'Authenticate'),
} as const
