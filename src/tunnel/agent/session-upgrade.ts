// From a TLS connection with a gateway to a session's WebSocket: the request that shows who the node is, and the answer.

import type { IncomingMessage } from 'node:http'
import type { TLSSocket } from 'node:tls'
import { WebSocket } from 'ws'
import type { Announced } from '../../core/egress/agent-table.ts'
import { encodeAnnouncement } from '../../core/tunnel/announcement.ts'
import { messageBytesMax } from '../websocket-wire.ts'
import { upgradeHeaders, type Credentials } from './credentials.ts'

/** Of a refusal's body that is read for its reason. */
const refusalBytesMax = 1_024
/** What a gateway may ask us to wait. */
const retryAfterSecondsMax = 60

export interface SessionRequest {
  /** wss://host:port */
  readonly gateway: URL
  readonly node: string
  readonly credentials: Credentials
  /** @default nothing */
  readonly announced?: Announced
}

export interface GatewayRefusal {
  /** `401 node-unknown` */
  readonly why: string
  readonly status: number | undefined
  /** As the gateway named it. */
  readonly reason: string | undefined
  readonly retryAfterMs: number
}

/** One of these is called, in the same turn as the answer comes. */
export interface SessionAnswer {
  readonly opened: (socket: WebSocket) => void
  readonly refused: (refusal: GatewayRefusal) => void
  readonly failed: (why: string) => void
}

export function requestSession(tls: TLSSocket, { gateway, node, credentials, announced }: SessionRequest, { opened, refused, failed }: SessionAnswer): void {
  const socket = new WebSocket(new URL('/v1/tunnel', gateway), {
    createConnection: () => tls,
    perMessageDeflate: false,
    maxPayload: messageBytesMax,
    // TLS has sealed it already (RFC 6455 §5.3 guards proxies that see plain text).
    generateMask: (mask) => mask.fill(0),
    headers: { ...upgradeHeaders(credentials, node, tls), ...(announced === undefined ? {} : encodeAnnouncement(announced)) },
  })
  socket.on('error', (error) => failed(error.message))
  socket.on('unexpected-response', (_request, response) => void refusalIn(response).then(refused, (error: unknown) => failed(String(error))))
  socket.once('open', () => opened(socket))
}

/** What a refusal says of itself. */
async function refusalIn(response: IncomingMessage): Promise<GatewayRefusal> {
  let body = ''
  for await (const chunk of response) {
    body += String(chunk)
    if (body.length > refusalBytesMax) break
  }
  const reason = /"reason":"([a-z-]{1,40})"/.exec(body)?.[1]
  const retryAfter = Number(response.headers['retry-after'] ?? 0)
  return {
    why: `${response.statusCode}${reason === undefined ? '' : ` ${reason}`}`,
    status: response.statusCode,
    reason,
    retryAfterMs: Math.min(retryAfterSecondsMax, Number.isFinite(retryAfter) ? retryAfter : 0) * 1_000,
  }
}
