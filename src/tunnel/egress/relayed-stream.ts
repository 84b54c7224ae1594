// The other end of a link: a stream that another thread, or another gateway, has opened for a session. Its head says which; from
// there on the two streams are one, so that the agent's answer goes back as it is. A gateway links to one thread of another, which
// may have to hand on what is for its neighbour's session.
//
//   CONNECT host:port HTTP/1.1
//   Sluice-Tenant: acme          must be the session's
//   Sluice-Session: 1f…-0.0-7

import type { MuxStream, StreamHandler } from '../../core/mux/stream.ts'
import { ConnectHeadReader, connectTargetIn, encodeConnectAnswer, encodeConnectRequest } from '../../core/tunnel/connect-head.ts'
import { pairStreams } from './stream-pair.ts'
import type { Way } from './way.ts'

/** @returns undefined where it is gone */
export type WayTo = (session: { readonly id: string; readonly tenant: string }) => Way | undefined

/** @returns the lines that tell the other end which session is meant */
export function relayedFields({ id, tenant }: { readonly id: string; readonly tenant: string }): readonly string[] {
  return [`Sluice-Tenant: ${tenant}`, `Sluice-Session: ${id}`]
}

/** @returns what becomes of such a stream */
export function relayedStream(stream: MuxStream, wayTo: WayTo): StreamHandler {
  const reader = new ConnectHeadReader()
  const nothing: StreamHandler = { data: () => undefined, finished: () => undefined, reset: () => undefined, writable: () => undefined }
  const refuse = (detail: string): void => {
    stream.handler = nothing
    stream.write(encodeConnectAnswer(400, detail))
    stream.finish()
  }
  return {
    ...nothing,
    // Left open on this side, it would count among the link's streams for as long as the link is there.
    finished: () => refuse('FIN before the head was whole'),
    data: (bytes) => {
      const head = reader.push(bytes)
      if (head === undefined) {
        stream.consumed(bytes.length)
        return
      }
      const target = head.kind === 'head' ? connectTargetIn(head.firstLine) : undefined
      const session = head.kind === 'head' ? sessionIn(head.fields) : undefined
      if (head.kind !== 'head' || target === undefined || session === undefined) {
        refuse(head.kind === 'malformed' ? head.detail : 'no CONNECT with a session')
        return
      }
      stream.handler = nothing
      stream.consumed(bytes.length - head.rest.length)
      const way = wayTo(session)
      const agent = way?.open(nothing)
      if (way === undefined || agent === undefined) {
        // It ended a moment ago, and the news of it is on its way to who asked: to whom it is as if it had ended now.
        stream.reset()
        return
      }
      // Its dial is not over with a reset of this stream.
      stream.hold()
      agent.write(encodeConnectRequest(target, way.fields))
      pairStreams(stream, agent, () => stream.release())
      if (head.rest.length > 0) stream.handler.data(head.rest)
    },
  }
}

function sessionIn(fields: readonly string[]): { readonly id: string; readonly tenant: string } | undefined {
  const [tenant, id] = ['Sluice-Tenant: ', 'Sluice-Session: '].map((name) => fields.find((field) => field.startsWith(name))?.slice(name.length))
  return tenant === undefined || id === undefined ? undefined : { id, tenant }
}
