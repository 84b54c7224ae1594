// What a request of the admin API says, as what it means. A key that is not known is refused: a filter that was silently ignored would close everybody's
// connections.

import { parseEndpointAddress, parsePoolAddress } from '../../config/address.ts'
import { parseDurationMs } from '../../config/duration.ts'
import { nearestName } from '../../config/nearest.ts'
import { quote } from '../../config/quote.ts'
import { connectionKinds, type ConnectionKind, type ConnectionQuery } from '../../core/live/live-connection.ts'
import { formatCidr, parseCidr } from '../../core/net/cidr.ts'
import { canonicalAddress } from '../../core/net/ip-address.ts'
import type { AdminAnswer, AdminRequest } from '../../observe/admin/routes.ts'

/** Of what is listed. */
const limitDefault = 500
const limitMax = 1_000
const overMsMax = 3_600_000

/** The client's mistake: it is answered 400. */
export class InputError extends Error {
  readonly code = 'INPUT'
  readonly expected: string

  constructor(message: string, expected: string) {
    super(message)
    this.expected = expected
  }
}

/** What a handler that throws an `InputError` is answered as. */
export async function answered(handle: () => AdminAnswer | Promise<AdminAnswer>): Promise<AdminAnswer> {
  try {
    return await handle()
  } catch (error) {
    if (error instanceof InputError) return { status: 400, value: { error: error.message, expected: error.expected } }
    throw error
  }
}

/** @throws {InputError} */
export function queryOf({ query }: AdminRequest, known: readonly string[]): ReadonlyMap<string, string> {
  const given = new Map<string, string>()
  for (const [key, value] of query) {
    checkKey(key, known)
    if (given.has(key)) throw new InputError(`${key} twice`, 'each once')
    given.set(key, value)
  }
  return given
}

/** @throws {InputError} */
export function bodyOf({ body }: AdminRequest, known: readonly string[]): Readonly<Record<string, unknown>> {
  if (typeof body !== 'object' || body === null || Array.isArray(body)) throw new InputError('the body is no object', `{ ${known.join(', ')} }`)
  for (const key of Object.keys(body)) checkKey(key, known)
  return body as Readonly<Record<string, unknown>>
}

function checkKey(key: string, known: readonly string[]): void {
  if (known.includes(key)) return
  const nearest = nearestName(key, known)
  throw new InputError(`${quote(key)} is not known${nearest === undefined ? '' : `; did you mean ${nearest}?`}`, known.length === 0 ? 'none' : `one of ${known.join(', ')}`)
}

/** @throws {InputError} */
export function limitOf(given: ReadonlyMap<string, string>): number {
  const text = given.get('limit')
  if (text === undefined) return limitDefault
  if (!/^\d{1,6}$/.test(text) || Number(text) < 1 || Number(text) > limitMax) throw new InputError(`limit: ${quote(text)}`, `a whole number from 1 to ${limitMax}`)
  return Number(text)
}

export const filterKeys = ['tenant', 'endpoint', 'source', 'kind'] as const

/** @throws {InputError} */
export function filterOf(given: ReadonlyMap<string, string>): ConnectionQuery {
  const [tenant, endpoint, source, kind] = filterKeys.map((key) => given.get(key))
  return {
    ...(tenant === undefined ? {} : { tenant }),
    ...(endpoint === undefined ? {} : { endpoint: endpointOf(endpoint) }),
    ...(source === undefined ? {} : { source: networkOf(source) }),
    ...(kind === undefined ? {} : { kinds: [kindOf(kind)] }),
  }
}

function kindOf(text: string): ConnectionKind {
  const kind = connectionKinds.find((each) => each === text)
  if (kind === undefined) throw new InputError(`kind: ${quote(text)}`, `one of ${connectionKinds.join(', ')}`)
  return kind
}

/** ADDRESS:PORT, or an address for all its ports. @throws {InputError} */
export function endpointOf(text: string): { readonly address: string; readonly port?: number } {
  const whole = parseEndpointAddress(text)
  if (whole !== undefined) return { address: whole.address, port: whole.port }
  const address = parsePoolAddress(/^\[(.*)\]$/.exec(text)?.[1] ?? text)
  if (address === undefined) throw new InputError(`endpoint: ${quote(text)}`, 'ADDRESS:PORT, or ADDRESS for all of its ports: 10.1.0.11:31443, [2001:db8::11]:31443 or 10.1.0.11')
  return { address }
}

function networkOf(text: string): string {
  const address = canonicalAddress(text)
  const parsed = parseCidr(address === undefined ? text : `${address}/${address.includes(':') ? 128 : 32}`)
  if (parsed.kind === 'invalid') throw new InputError(`source: ${quote(text)}`, 'an IP address or a network: 203.0.113.9 or 2001:db8::/64')
  return formatCidr(parsed.cidr)
}

/** `over` of a drain. @throws {InputError} */
export function overMsOf({ over }: Readonly<Record<string, unknown>>): number | undefined {
  if (over === undefined) return undefined
  const overMs = typeof over === 'string' ? parseDurationMs(over) : undefined
  if (overMs === undefined || overMs > overMsMax) throw new InputError(`over: ${quote(typeof over === 'string' ? over : JSON.stringify(over))}`, 'a duration (250ms, 5s, 10m) up to 1h: closes are spread over it')
  return overMs
}
