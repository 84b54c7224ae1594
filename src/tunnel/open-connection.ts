// TCP and TLS connections that the agent opens, each with an error that says which step failed, with whom, and why.

import { once } from 'node:events'
import { connect as connectTcp, isIP, type Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import { connect as connectTls, type TLSSocket } from 'node:tls'
import { codeOf } from '../core/error-code.ts'
import type { ConnectStep } from '../core/tunnel/agent-observer.ts'

/** A gateway can't be reached. The message is whole: who, what, why. */
export class DialError extends Error {
  readonly code = 'DIAL'
  readonly step: ConnectStep

  constructor(step: ConnectStep, message: string) {
    super(message)
    this.step = step
  }
}

export interface Peer {
  readonly host: string
  readonly port: number
  /** In errors. */
  readonly title: string
}

const defaultPorts: Readonly<Record<string, number>> = { 'http:': 80, 'https:': 443, 'wss:': 443 }

/** The host without brackets. */
export function hostAndPort({ protocol, hostname, port }: URL): { readonly host: string; readonly port: number } {
  return { host: hostname.replace(/^\[|\]$/g, ''), port: port === '' ? defaultPorts[protocol] ?? 443 : Number(port) }
}

/** @throws {DialError} */
export async function openTcp({ host, port, title }: Peer, signal: AbortSignal): Promise<Socket> {
  const socket = connectTcp({ host, port, noDelay: true, keepAlive: true, keepAliveInitialDelay: 15_000 })
  // Told below, or by what is put on top of it.
  socket.on('error', () => undefined)
  try {
    await once(socket, 'connect', { signal })
    return socket
  } catch (error) {
    socket.destroy()
    if (error instanceof Error && 'syscall' in error && error.syscall === 'getaddrinfo') throw new DialError('name', `the name of ${title} can't be resolved: ${reasonOf(error, signal)}`)
    throw new DialError('tcp', `no TCP connection to ${title}: ${reasonOf(error, signal)}`)
  }
}

export interface TlsOptions {
  /** PEM of the authorities to trust; undefined: the system's. */
  readonly caPem: string | undefined
  /** Our own, in PEM; undefined: none. */
  readonly certificate?: { readonly certPem: string; readonly keyPem: string } | undefined
  readonly signal: AbortSignal
  /** To be resumed. */
  readonly session?: Buffer | undefined
  /** Of the peer: false: whoever it is, for a look at its certificate. @default true */
  readonly mustBeTrusted?: boolean
  readonly minVersion?: 'TLSv1.2' | 'TLSv1.3'
  /** For a hello that fits one packet: without the key share of X25519MLKEM768, which takes 1,200 bytes. @default false */
  readonly hasSmallHello?: boolean
}

/**
 * TLS on a connection; its end is the end of the connection below.
 * @throws {DialError}
 */
export async function openTls(below: Duplex, { host, title }: Peer, { caPem, certificate, signal, session, mustBeTrusted = true, minVersion = 'TLSv1.2', hasSmallHello = false }: TlsOptions): Promise<TLSSocket> {
  let socket: TLSSocket | undefined
  try {
    // Throws where what it is given can't be used: a key that is not the certificate's.
    socket = connectTls({
      // The host is what the certificate is checked against.
      socket: below, host, servername: isIP(host) === 0 ? host : '', minVersion, ALPNProtocols: ['http/1.1'], rejectUnauthorized: mustBeTrusted,
      ...(caPem === undefined ? {} : { ca: caPem }),
      ...(certificate === undefined ? {} : { cert: certificate.certPem, key: certificate.keyPem }),
      ...(session === undefined ? {} : { session }),
      ...(hasSmallHello ? { ecdhCurve: 'X25519' } : {}),
    })
    await once(socket, 'secureConnect', { signal })
    return socket
  } catch (error) {
    socket?.destroy()
    below.destroy()
    throw new DialError('tls', `no TLS with ${title}: ${reasonOf(error, signal)}`)
  }
}

/** In words. Of an abort: the reason that was given for it. */
export function reasonOf(error: unknown, signal: AbortSignal): string {
  const cause: unknown = signal.aborted ? signal.reason : error
  if (!(cause instanceof Error)) return String(cause)
  // Of several addresses: what the first one said stands for all (RFC 8305 has them tried one after the other).
  const first: unknown = cause instanceof AggregateError ? cause.errors[0] : cause
  const { message } = first instanceof Error ? first : cause
  const code = codeOf(cause)
  return code === undefined || message.includes(code) ? message : `${code}: ${message}`
}
