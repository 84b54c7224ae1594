// A session that is begun to see whether it can be, and ended at once. It is asked for without a token, so none is used up, and
// counts beside the sessions that the node has.

import type { TLSSocket } from 'node:tls'
import { WindowBudget } from '../../core/mux/window.ts'
import { MuxLink } from '../mux-link.ts'
import { linkWebSocket, webSocketWire } from '../websocket-wire.ts'
import { requestSession, type GatewayRefusal, type SessionRequest } from './session-upgrade.ts'

export type SessionProbe =
  /** Frames cross both ways. */
  | { readonly kind: 'session'; readonly rttMs: number }
  | { readonly kind: 'refused'; readonly refusal: GatewayRefusal }
  | { readonly kind: 'failed'; readonly why: string }

const rttPollMs = 10

/** @param signal ends it, with its reason as why */
export async function probeSession(tls: TLSSocket, request: SessionRequest, signal: AbortSignal): Promise<SessionProbe> {
  return await new Promise((resolve) => {
    const failed = (why: string): void => resolve({ kind: 'failed', why })
    tls.on('error', (error) => failed(error.message))
    tls.on('close', () => failed('the connection was closed'))
    signal.addEventListener('abort', () => {
      failed(signal.reason instanceof Error ? signal.reason.message : String(signal.reason))
      tls.destroy()
    })
    const { credentials } = request
    requestSession(tls, { ...request, credentials: credentials.kind === 'key' ? { ...credentials, token: () => undefined } : credentials }, {
      failed,
      refused: (refusal) => resolve({ kind: 'refused', refusal }),
      opened: (socket) => {
        const link = new MuxLink({
          role: 'client',
          wire: webSocketWire(socket, tls, 'client'),
          budget: new WindowBudget(),
          opened: () => undefined,
          goingAway: () => undefined,
          ended: (end) => {
            clearInterval(timer)
            failed('detail' in end ? `${end.reason}: ${end.detail}` : end.reason)
          },
        })
        const timer = setInterval(() => {
          const { rttMs } = link.session
          if (rttMs === undefined) return
          resolve({ kind: 'session', rttMs })
          link.closed('it was a probe')
        }, rttPollMs)
        linkWebSocket(socket, link)
      },
    })
  })
}
