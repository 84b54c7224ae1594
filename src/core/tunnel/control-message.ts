// What a gateway tells an agent beside the session: text messages of the WebSocket, JSON, one fact each. Frames are binary
// messages, so a yamux peer that knows nothing of these has only to leave them alone.
//
//   { "gateways": ["wss://a.example.com:6443", …] }        all that there are; in place of what was said before
//   { "lane": { "descriptor": …, "key": …, "clockMs": … } } a grant for the direct lane (ticket.ts), base64url, and the
//                                                           gateway's clock when it was told, milliseconds of Unix time

import type { LaneGrant } from './ticket.ts'

/** Of a text message. */
export const controlBytesMax = 16 * 1024
/** More are cut off. */
export const gatewaysToldMax = 64

export interface ControlMessage {
  /** Each wss://HOST:PORT, at most `gatewaysToldMax`. */
  readonly gateways?: readonly string[]
  readonly lane?: LaneOffer
}

export interface LaneOffer extends LaneGrant {
  readonly clockMs: number
}

const keyBytes = 32
const descriptorBytesMax = 300

export function encodeControlMessage({ gateways, lane }: ControlMessage): string {
  return JSON.stringify({
    ...(gateways === undefined ? {} : { gateways }),
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
  return { ...(gateways === undefined ? {} : { gateways }), ...(lane === undefined ? {} : { lane }) }
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
