// Checks with Node's own sockets: those of kind tls and readyz, those of names, and all where there is no cheaper way.
//
//   tcp     connect
//   tls     connect ─▶ PROXY header, where they wait for one ─▶ handshake
//   readyz  connect ─▶ … ─▶ handshake ─▶ GET /readyz ─▶ HTTP/1.1 200
//
// Nobody is trusted by it and nothing secret is sent, so without authorities any certificate will do: what is asked is whether
// the API server is there, and whether it says that it is ready. Sockets end with RST, so that none stays in TIME_WAIT.

import { readFileSync } from 'node:fs'
import { connect, isIP, type Socket } from 'node:net'
import { resolve } from 'node:path'
import { connect as connectTls, createSecureContext, type SecureContext, type TLSSocket } from 'node:tls'
import type { CheckTarget } from '../core/balance/endpoint-register.ts'
import { isOwnFault } from '../core/dial-failure.ts'
import type { HealthSpec } from '../core/health/health-spec.ts'
import type { CheckDone, CheckResult, Prober } from '../core/health/prober.ts'
import { encodeOwnHeader } from '../core/proxy-protocol/encode.ts'

/** Of an answer's first line. */
const statusLineBytesMax = 1_024
/** Files of authorities that are kept as they were read. */
const contextsMax = 1_000
/** For so long. */
const contextMsMax = 60_000

export class NodeProbes implements Prober {
  readonly #done: CheckDone
  readonly #nowMs: () => number
  readonly #folder: string
  readonly #sockets = new Set<Socket>()
  /** By file; without one, any certificate will do. */
  readonly #contexts = new Map<string, { readonly context: SecureContext; readonly readMs: number }>()

  /** @param options `folder`: that relative paths begin at */
  constructor({ done, nowMs, folder }: { readonly done: CheckDone; readonly nowMs: () => number; readonly folder: string }) {
    this.#done = done
    this.#folder = folder
    this.#nowMs = nowMs
  }

  get size(): number {
    return this.#sockets.size
  }

  begin(target: CheckTarget): void {
    const { id, address, port, health } = target
    if (health === undefined) throw new Error('bug: a check of a target that is not checked')
    const socket = connect({ host: address, port })
    this.#sockets.add(socket)
    const end = (result: CheckResult): void => {
      if (!this.#sockets.delete(socket)) return
      clearTimeout(timer)
      socket.resetAndDestroy()
      this.#done(id, result)
    }
    let step = isIP(address) === 0 ? 'address' : 'connection'
    const timer = setTimeout(() => end({ kind: step === 'address' ? 'void' : 'failed', why: `no ${step} in ${health.timeoutMs} ms` }), health.timeoutMs)
    const failed = (error: NodeJS.ErrnoException): void => end(failureOf(error, step))
    socket.once('error', failed)
    socket.once('lookup', () => {
      step = 'connection'
    })
    socket.once('connect', () => {
      if (health.kind === 'tcp') {
        end({ kind: 'passed', why: 'connection accepted' })
        return
      }
      step = 'TLS handshake'
      if (health.sendsProxyHeader !== undefined) socket.write(encodeOwnHeader(health.sendsProxyHeader))
      let secure: TLSSocket
      try {
        secure = this.#secure(socket, address, health)
      } catch (error) {
        end({ kind: 'void', why: `caFile: ${error instanceof Error ? error.message : String(error)}` })
        return
      }
      secure.on('error', failed)
      secure.once('secureConnect', () => {
        if (health.kind === 'tls') end({ kind: 'passed', why: 'TLS handshake done' })
        else {
          step = 'answer to GET /readyz'
          askReadyz(secure, hostOf(target), end)
        }
      })
    })
    socket.once('close', () => end({ kind: 'failed', why: `closed before the ${step}` }))
  }

  close(): void {
    const sockets = [...this.#sockets]
    this.#sockets.clear()
    for (const socket of sockets) socket.destroy()
  }

  /** @throws where the authorities can't be read */
  #secure(socket: Socket, address: string, { serverName, caFile }: HealthSpec): TLSSocket {
    const name = serverName ?? address
    return connectTls({
      socket, secureContext: this.#contextOf(caFile), rejectUnauthorized: caFile !== undefined, host: name,
      ...(isIP(name) === 0 ? { servername: name } : {}),
    })
  }

  #contextOf(caFile = ''): SecureContext {
    const kept = this.#contexts.get(caFile)
    const nowMs = this.#nowMs()
    if (kept !== undefined && (caFile === '' || nowMs - kept.readMs < contextMsMax)) return kept.context
    const context = createSecureContext(caFile === '' ? {} : { ca: readFileSync(resolve(this.#folder, caFile)) })
    if (kept === undefined && this.#contexts.size >= contextsMax) this.#contexts.clear()
    this.#contexts.set(caFile, { context, readMs: nowMs })
    return context
  }
}

function hostOf({ address, port, health }: CheckTarget): string {
  const name = health?.serverName ?? address
  return `${name.includes(':') ? `[${name}]` : name}:${port}`
}

function askReadyz(socket: TLSSocket, host: string, end: (result: CheckResult) => void): void {
  let head = ''
  socket.setEncoding('latin1')
  socket.on('data', (text: string) => {
    head += text
    const line = /^([^\r\n]*)\r?\n/.exec(head)?.[1]
    if (line === undefined && head.length < statusLineBytesMax) return
    const status = /^HTTP\/1\.[01] (\d{3})\b/.exec(line ?? '')?.[1]
    if (status === '200') end({ kind: 'passed', why: '/readyz answered 200' })
    else end({ kind: 'failed', why: status === undefined ? '/readyz was not answered in HTTP/1.1' : `/readyz answered ${status}` })
  })
  socket.once('end', () => end({ kind: 'failed', why: 'closed before the answer to GET /readyz' }))
  socket.write(`GET /readyz HTTP/1.1\r\nHost: ${host}\r\nUser-Agent: sluice-health\r\nConnection: close\r\n\r\n`)
}

function failureOf({ code, message }: NodeJS.ErrnoException, step: string): CheckResult {
  if (isOwnFault(code)) return { kind: 'void', why: `${step}: ${code}` }
  if (code === 'ECONNREFUSED') return { kind: 'failed', why: 'connection refused' }
  return { kind: 'failed', why: `${step}: ${code ?? message}` }
}
