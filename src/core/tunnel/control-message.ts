// What a gateway tells an agent beside the session: text messages of the WebSocket, JSON, one fact each. Frames are binary
// messages, so a yamux peer that knows nothing of these has only to leave them alone.
//
//   { "gateways": ["wss://a.example.com:6443", …] }        all that there are; in place of what was said before
//   { "lane": { "descriptor": …, "key": …, "clockMs": … } } a grant for the direct lane (ticket.ts), base64url, and the
//                                                           gateway's clock when it was told, milliseconds of Unix time
//   { "refused": [{ "announced": "10.0.0.0/8", "why": "…" }] } what of the agent's announcement does not hold, all of it

import type { RefusedAnnouncement } from './announcement.ts'
import type { LaneGrant } from './ticket.ts'

/** Of a text message. */
export const controlBytesMax = 16 * 1024
/** More are cut off. */
export const gatewaysToldMax = 64

export interface ControlMessage {
  /** Each wss://HOST:PORT, at most `gatewaysToldMax`. */
  readonly gateways?: readonly string[]
  readonly lane?: LaneOffer
  /** Of what the agent has announced, what does not hold; empty: all holds. */
  readonly refused?: readonly RefusedAnnouncement[]
}

export interface LaneOffer extends LaneGrant {
  readonly clockMs: number
}

const refusedMax = 32
const whyCharactersMax = 160
const keyBytes = 32
const descriptorBytesMax = 300

export function encodeControlMessage({ gateways, lane, refused }: ControlMessage): string {
  return JSON.stringify({
    ...(gateways === undefined ? {} : { gateways }),
    ...(refused === undefined ? {} : { refused: refused.slice(0, refusedMax).map(({ announced, why }) => ({ announced, why: why.slice(0, whyCharactersMax) })) }),
    ...(lane === undefined ? {} : { lane: { descriptor: toBase64Url(lane.descriptor), key: toBase64Url(lane.key), clockMs: lane.clockMs } }),
  })
}

/**
 * Facts of a later version are passed over.
 * @returns undefined for what is no such message
 */
export function parseControlMessage(text: string): ControlMessage | undefined {
  if (text.length > controlBytesMax) return undefined
  let message: unknown
  try {
    message = JSON.parse(text)
  } catch {
    return undefined
  }
  if (typeof message !== 'object' || message === null || Array.isArray(message)) return undefined
  const gateways = 'gateways' in message ? gatewaysIn(message.gateways) : undefined
  if ('gateways' in message && gateways === undefined) return undefined
  const lane = 'lane' in message ? laneIn(message.lane) : undefined
  if ('lane' in message && lane === undefined) return undefined
  const refused = 'refused' in message ? refusedIn(message.refused) : undefined
  if ('refused' in message && refused === undefined) return undefined
  return { ...(gateways === undefined ? {} : { gateways }), ...(lane === undefined ? {} : { lane }), ...(refused === undefined ? {} : { refused }) }
}

function refusedIn(value: unknown): readonly RefusedAnnouncement[] | undefined {
  if (!Array.isArray(value)) return undefined
  const refused = value.slice(0, refusedMax).map((each: unknown) => {
    if (typeof each !== 'object' || each === null || !('announced' in each && 'why' in each)) return undefined
    const { announced, why } = each
    return typeof announced === 'string' && typeof why === 'string' ? { announced: announced.slice(0, whyCharactersMax), why: why.slice(0, whyCharactersMax) } : undefined
  })
  return refused.every((each) => each !== undefined) ? refused : undefined
}

function laneIn(value: unknown): LaneOffer | undefined {
  if (typeof value !== 'object' || value === null || !('descriptor' in value && 'key' in value && 'clockMs' in value)) return undefined
  const [descriptor, key] = [fromBase64Url(value.descriptor), fromBase64Url(value.key)]
  const { clockMs } = value
  if (descriptor === undefined || key?.length !== keyBytes || typeof clockMs !== 'number' || !Number.isFinite(clockMs)) return undefined
  return { descriptor, key, clockMs }
}

function toBase64Url(bytes: Uint8Array): string {
  return btoa(String.fromCharCode(...bytes)).replaceAll('+', '-').replaceAll('/', '_').replace(/=+$/, '')
}

function fromBase64Url(text: unknown): Uint8Array | undefined {
  if (typeof text !== 'string' || !/^[A-Za-z0-9_-]+$/.test(text) || text.length > 2 * descriptorBytesMax || text.length % 4 === 1) return undefined
  return Uint8Array.from(atob(text.replaceAll('-', '+').replaceAll('_', '/')), (character) => character.charCodeAt(0))
}

function gatewaysIn(value: unknown): readonly string[] | undefined {
  if (!Array.isArray(value)) return undefined
  const urls = value.slice(0, gatewaysToldMax).map((each: unknown) => typeof each === 'string' ? gatewayUrl(each) : undefined)
  return urls.every((url) => url !== undefined) ? [...new Set(urls)] : undefined
}

/** @returns as it is compared: lower case, port written out where it is not 443, nothing behind it; undefined for another URL */
export function gatewayUrl(text: string): string | undefined {
  const match = /^wss:\/\/([a-z0-9.-]{1,253}|\[[0-9a-f:.]{2,45}\])(?::(\d{1,5}))?\/?$/i.exec(text)
  const port = Number(match?.[2] ?? 443)
  if (match?.[1] === undefined || port < 1 || port > 65_535) return undefined
  return `wss://${match[1].toLowerCase()}${port === 443 ? '' : `:${port}`}`
}
