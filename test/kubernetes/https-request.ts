// One HTTPS request on a connection of its own, with whatever server name, authority and client certificate it is told:
// what `fetch` cannot do, and what shows which API server a name led to.

import { request } from 'node:https'

const requestTimeoutMs = 30_000

export interface HttpsRequest {
  /** @default '127.0.0.1' */
  readonly address?: string
  readonly port: number
  /** Sent as SNI, and expected in the server's certificate. */
  readonly serverName: string
  readonly caPem: string
  readonly client?: { readonly certificatePem: string; readonly keyPem: string }
  /** @default 'GET' */
  readonly method?: string
  readonly path: string
  /** Sent as JSON; a PATCH as a merge patch. */
  readonly body?: unknown
  readonly headers?: Readonly<Record<string, string>>
}

export interface HttpsResponse {
  readonly status: number
  readonly body: string
}

/** Rejects with the system's or OpenSSL's error when no response comes. */
export async function httpsRequest(options: HttpsRequest): Promise<HttpsResponse> {
  const { address = '127.0.0.1', method = 'GET', body, client, headers } = options
  return await new Promise((resolve, reject) => {
    const outgoing = request({
      host: address,
      port: options.port,
      servername: options.serverName,
      ca: options.caPem,
      ...(client === undefined ? {} : { cert: client.certificatePem, key: client.keyPem }),
      method,
      path: options.path,
      agent: false,
      timeout: requestTimeoutMs,
      headers: { 'content-type': method === 'PATCH' ? 'application/merge-patch+json' : 'application/json', ...headers },
    })
    outgoing.once('timeout', () => outgoing.destroy(new Error(`no response within ${requestTimeoutMs} ms`)))
    outgoing.once('error', reject)
    outgoing.once('response', incoming => {
      let text = ''
      incoming.setEncoding('utf8')
      incoming.on('data', (chunk: string) => {
        text += chunk
      })
      incoming.once('error', reject)
      incoming.once('end', () => resolve({ status: incoming.statusCode ?? 0, body: text }))
    })
    outgoing.end(body === undefined ? undefined : JSON.stringify(body))
  })
}
