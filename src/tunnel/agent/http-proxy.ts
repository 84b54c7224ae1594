// The HTTP proxy on the way to a gateway, where the node's network has one: CONNECT, in the plain or over TLS.
//
//   TCP to the proxy ─▶ (https: TLS with the proxy) ─▶ CONNECT gateway:port ─▶ 200 ─▶ the connection is the gateway's

import type { Duplex } from 'node:stream'
import { ConnectHeadReader, connectAnswerIn, encodeConnectRequest } from '../../core/tunnel/connect-head.ts'
import { describeProxyRefusal } from '../../core/tunnel/proxy-refusal.ts'
import { DialError, hostAndPort, openTcp, openTls, reasonOf } from '../open-connection.ts'

export interface HttpProxy {
  /** http://host:port or https://host:port */
  readonly url: URL
  /** PEM of the authorities for an https proxy; undefined: the system's. */
  readonly caPem: string | undefined
  /** `user:password`, read at each try; undefined: none. @throws where they can't be read: the message says why, and not what they are */
  readonly credentials: () => string | undefined
}

/**
 * @param target `host:port`, which the proxy resolves
 * @returns a connection to it, through the proxy
 * @throws {DialError}
 */
export async function openThroughProxy({ url, caPem, credentials }: HttpProxy, target: string, signal: AbortSignal): Promise<Duplex> {
  const peer = { ...hostAndPort(url), title: `the proxy ${url.host}` }
  const fields = authorization(credentials)
  const tcp = await openTcp(peer, signal)
  const socket = url.protocol === 'https:' ? await openTls(tcp, peer, { caPem, signal }) : tcp
  try {
    socket.write(encodeConnectRequest(target, fields))
    const refusal = await answerOn(socket, { target, sentCredentials: fields.length > 0, signal })
    if (refusal === undefined) return socket
    throw new DialError('proxy-answer', `${peer.title} answers ${refusal}`)
  } catch (error) {
    socket.destroy()
    if (error instanceof DialError) throw error
    throw new DialError('proxy-answer', `${peer.title} gives no answer to CONNECT: ${reasonOf(error, signal)}`)
  }
}

function authorization(credentials: () => string | undefined): string[] {
  try {
    const text = credentials()
    return text === undefined ? [] : [`Proxy-Authorization: Basic ${Buffer.from(text, 'utf8').toString('base64')}`]
  } catch (error) {
    throw new DialError('proxy-answer', error instanceof Error ? error.message : String(error))
  }
}

interface Asked {
  readonly target: string
  readonly sentCredentials: boolean
  readonly signal: AbortSignal
}

/** @returns why there is no way; undefined: there is. What follows the head is put back. */
async function answerOn(socket: Duplex, { target, sentCredentials, signal }: Asked): Promise<string | undefined> {
  const reader = new ConnectHeadReader()
  const abort = (): unknown => socket.destroy(new Error('aborted'))
  signal.addEventListener('abort', abort)
  try {
    for await (const bytes of socket.iterator({ destroyOnReturn: false })) {
      const head = reader.push(bytes as Buffer)
      if (head === undefined) continue
      if (head.kind === 'malformed') return head.detail
      const status = connectAnswerIn(head.firstLine)?.status
      if (status === undefined) return 'what is no HTTP'
      // Any 2xx is success (RFC 9110 §9.3.6), and has no body: what follows is the gateway's.
      if (status < 200 || status > 299) return describeProxyRefusal({ status, fields: head.fields, target, sentCredentials })
      if (head.rest.length > 0) socket.unshift(Buffer.from(head.rest))
      return undefined
    }
  } finally {
    signal.removeEventListener('abort', abort)
  }
  throw new Error('it has closed the connection')
}
