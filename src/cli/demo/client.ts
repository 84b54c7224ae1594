// The demo's clients. They trust every tenant's authority, so that the certificate they are shown proves which tenant's
// API server answered; and they tell a TLS alert from a connection that is just closed.

import { connect } from 'node:net'
import { request, type RequestOptions } from 'node:https'
import type { IncomingMessage } from 'node:http'
import { createInterface } from 'node:readline'
import { TLSSocket } from 'node:tls'
import { loopback } from './layout.ts'
import type { Tenant } from './tenant.ts'

const requestTimeoutMs = 15_000
const bodyBytesMax = 1024 * 1024

/** Alerts by number (RFC 8446 §6), those that the demo may meet. */
const alertNames: Readonly<Record<string, string>> = {
  40: 'handshake_failure',
  49: 'access_denied',
  50: 'decode_error',
  80: 'internal_error',
  112: 'unrecognized_name',
}

export type Outcome =
  /** `signedBy`: the common name of the authority whose certificate the server showed. */
  | { readonly kind: 'answered'; readonly status: number; readonly signedBy: string; readonly body: string }
  | { readonly kind: 'alert'; readonly alert: string }
  | { readonly kind: 'closed' }
  | { readonly kind: 'failed'; readonly message: string }

export interface Exchange {
  readonly outcome: Outcome
  /** From before the connection is opened to the end of the answer. */
  readonly tookMs: number
  /** The client's own port: by it the gateway's access log tells the connection. Absent: never connected. */
  readonly clientPort?: number
}

export interface HttpsCall {
  readonly gatewayPort: number
  /** Undefined: the client names nobody, as one that was given an IP address. */
  readonly serverName: string | undefined
  readonly trusted: readonly Tenant[]
  readonly client?: Tenant
  /** @default 'GET' */
  readonly method?: 'GET' | 'PATCH'
  readonly path: string
  /** Sent as a server-side apply. */
  readonly body?: object
}

/** One request on a connection of its own. Never rejects. */
export async function call(options: HttpsCall): Promise<Exchange> {
  const startedMs = performance.now()
  return await new Promise(resolve => {
    let clientPort: number | undefined
    const settle = (outcome: Outcome): void => {
      const tookMs = performance.now() - startedMs
      resolve({ outcome, tookMs, ...(clientPort === undefined ? {} : { clientPort }) })
    }
    const outgoing = request({ ...requestOptions(options), timeout: requestTimeoutMs })
    outgoing.once('socket', socket => socket.once('connect', () => {
      clientPort = socket.localPort
    }))
    outgoing.once('timeout', () => outgoing.destroy(new Error(`no answer within ${requestTimeoutMs / 1000} s`)))
    outgoing.once('error', error => settle(failureOf(error)))
    outgoing.once('response', incoming => {
      const signedBy = signerOf(incoming)
      let body = ''
      incoming.setEncoding('utf8').on('data', (text: string) => {
        body += text
        if (body.length > bodyBytesMax) incoming.destroy(new Error(`more than ${bodyBytesMax} bytes`))
      })
      incoming.once('error', error => settle(failureOf(error)))
      incoming.once('end', () => settle({ kind: 'answered', status: incoming.statusCode ?? 0, signedBy, body }))
    })
    outgoing.end(options.body === undefined ? undefined : JSON.stringify(options.body))
  })
}

/** A client that speaks plain HTTP to a TLS port. */
export async function callWithoutTls(gatewayPort: number): Promise<Exchange> {
  const startedMs = performance.now()
  return await new Promise(resolve => {
    let received = 0
    let failure: string | undefined
    const socket = connect(gatewayPort, loopback, () => socket.write('GET /version HTTP/1.1\r\nHost: acme\r\n\r\n'))
    const clientPort = new Promise<number | undefined>(settle => {
      socket.once('connect', () => settle(socket.localPort)).once('close', () => settle(undefined))
    })
    socket.setTimeout(requestTimeoutMs, () => socket.destroy(new Error('still open')))
    socket.on('data', (chunk: Buffer) => {
      received += chunk.byteLength
    })
    // The gateway may close with a reset: it has not read all that was sent.
    socket.once('error', (error: NodeJS.ErrnoException) => {
      if (error.code !== 'ECONNRESET' && error.code !== 'EPIPE') failure = error.message
    })
    socket.once('close', () => {
      const tookMs = performance.now() - startedMs
      const message = failure ?? (received > 0 ? `${received} bytes came back` : undefined)
      const outcome: Outcome = message === undefined ? { kind: 'closed' } : { kind: 'failed', message }
      void clientPort.then(port => resolve({ outcome, tookMs, ...(port === undefined ? {} : { clientPort: port }) }))
    })
  })
}

/** A watch of the heartbeat ConfigMap: counts its events, and sees whether one is missing or the connection ended. */
export class HeartbeatWatch {
  #events = 0
  #lastBeat: number | undefined
  #fault: string | undefined
  readonly #close: () => void

  private constructor(incoming: IncomingMessage) {
    this.#close = () => incoming.destroy()
    const ended = (): void => {
      this.#fault ??= 'the watch ended'
    }
    incoming.once('error', ended)
    // An error of its input is one of readline's own as well.
    createInterface({ input: incoming }).on('line', line => this.#onLine(line)).once('error', ended).once('close', ended)
  }

  static async open(options: Omit<HttpsCall, 'path'>): Promise<HeartbeatWatch> {
    return await new Promise((resolve, reject) => {
      const path = `${heartbeatList}?watch=1&fieldSelector=metadata.name%3Dheartbeat`
      const outgoing = request(requestOptions({ ...options, path }))
      const timer = setTimeout(() => outgoing.destroy(new Error(`no answer within ${requestTimeoutMs / 1000} s`)), requestTimeoutMs)
      outgoing.once('error', reject).once('close', () => clearTimeout(timer))
      outgoing.once('response', incoming => {
        clearTimeout(timer)
        if (incoming.statusCode === 200) resolve(new HeartbeatWatch(incoming))
        else reject(new Error(`the watch was answered with ${incoming.statusCode}`))
      })
      outgoing.end()
    })
  }

  get events(): number {
    return this.#events
  }

  /** What went wrong first; undefined while all is well. */
  get fault(): string | undefined {
    return this.#fault
  }

  close(): void {
    this.#close()
  }

  #onLine(line: string): void {
    const beat = beatOf(line)
    if (beat === undefined) return
    if (this.#lastBeat !== undefined && beat !== this.#lastBeat + 1) this.#fault ??= `beat ${beat} came after ${this.#lastBeat}`
    this.#lastBeat = beat
    this.#events += 1
  }
}

const heartbeatList = '/api/v1/namespaces/default/configmaps'

/** What a server-side apply of the heartbeat ConfigMap is sent as. */
export function heartbeatCall(beat: number): Pick<HttpsCall, 'method' | 'path' | 'body'> {
  return {
    method: 'PATCH',
    path: `${heartbeatList}/heartbeat?fieldManager=sluice-demo&force=true`,
    body: { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'heartbeat' }, data: { beat: String(beat) } },
  }
}

function beatOf(line: string): number | undefined {
  const event: { object?: { data?: { beat?: string } } } = JSON.parse(line)
  const beat = event.object?.data?.beat
  return beat === undefined ? undefined : Number(beat)
}

function requestOptions({ gatewayPort, serverName, trusted, client, method = 'GET', path, body }: HttpsCall): RequestOptions {
  return {
    host: loopback,
    port: gatewayPort,
    servername: serverName ?? '',
    ca: trusted.map(tenant => tenant.ca.certificatePem),
    ...(client === undefined ? {} : { cert: client.admin.certificatePem, key: client.admin.keyPem }),
    method,
    path,
    agent: false,
    ...(body === undefined ? {} : { headers: { 'content-type': 'application/apply-patch+yaml' } }),
  }
}

function signerOf({ socket }: IncomingMessage): string {
  if (!(socket instanceof TLSSocket)) throw new Error('bug: an answer over HTTPS came without TLS')
  const { CN } = socket.getPeerCertificate().issuer
  return Array.isArray(CN) ? CN.join(', ') : CN ?? 'nobody'
}

function failureOf(error: Error): Outcome {
  // OpenSSL tells the alert that it received by its number only in the message.
  const number = /alert number (\d+)/.exec(error.message)?.[1]
  if (number !== undefined) return { kind: 'alert', alert: `${alertNames[number] ?? 'unknown'} (${number})` }
  return { kind: 'failed', message: error.message }
}
