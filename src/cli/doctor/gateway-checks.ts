// The checks of the way to one gateway, each on a connection of its own: name, proxy or TCP, TLS, clock, the endpoint, packets of
// full size, and whether the node is let in. One that fails ends those that need it.

import { lookup } from 'node:dns/promises'
import { request } from 'node:http'
import type { TLSSocket } from 'node:tls'
import { dialGateway } from '../../tunnel/agent/gateway-dial.ts'
import { certificateIn, type Credentials } from '../../tunnel/agent/credentials.ts'
import type { HttpProxy } from '../../tunnel/agent/http-proxy.ts'
import { DialError, hostAndPort } from '../../tunnel/open-connection.ts'
import { probeSession } from '../../tunnel/agent/probe-session.ts'
import { clockVerdict, dialVerdict, endpointVerdict, identityVerdict, pathVerdict, tlsVerdict } from './gateway-verdicts.ts'
import { failed, ok, skipped, type Check, type Verdict } from './verdict.ts'

/** For each connection and what is asked on it. */
const stepMsMax = 10_000
/** Some eight packets of Ethernet's size; a gateway takes heads of up to 16 KiB. */
const largeRequestBytes = 12 * 1024

export interface GatewayCheckOptions {
  readonly gateway: URL
  readonly caPem: string | undefined
  readonly proxy: HttpProxy | undefined
  readonly node: string
  /** undefined: the node has none yet, or none that can be used. */
  readonly credentials: Credentials | undefined
  readonly hasToken: boolean
}

export async function* checkGateway(options: GatewayCheckOptions): AsyncGenerator<Check> {
  const { gateway, proxy, caPem } = options
  const { host } = hostAndPort(gateway)
  if (proxy === undefined) {
    const name = await nameVerdict(host, gateway.host)
    yield { name: 'name', verdict: name }
    if (name.kind === 'failed') return
  }
  const first = await opened(options, { mustBeTrusted: false })
  if (first instanceof DialError) {
    yield* reached(options, first.step === 'tls')
    if (first.step === 'tls' && await answersSmallHello(options)) {
      yield { name: 'packets', verdict: pathVerdict({ what: 'a TLS hello of two packets', ms: undefined }) }
      return
    }
    yield { name: checkNames[first.step], verdict: dialVerdict({ step: first.step, message: first.message, gateway: gateway.host }) }
    return
  }
  yield* reached(options, true)
  const tls = tlsVerdict({ ...tlsFacts(first), host, nowMs: Date.now(), hasCaFile: caPem !== undefined })
  yield { name: 'tls', verdict: tls }
  // The time is asked for in any case: a clock that is wrong makes a good certificate look bad.
  const small = await ask(first, 0)
  yield { name: 'clock', verdict: clockVerdict(small) }
  if (!first.authorized) return
  const endpoint = endpointVerdict(small)
  yield { name: 'endpoint', verdict: endpoint }
  if (endpoint.kind === 'failed') return
  yield { name: 'packets', verdict: await packetsVerdict(options) }
  yield { name: 'identity', verdict: await identity(options) }
}

const checkNames = { 'name': 'name', 'tcp': 'tcp', 'proxy-answer': 'proxy', 'tls': 'tls', 'upgrade': 'tls' } as const

function* reached({ gateway, proxy }: GatewayCheckOptions, isReached: boolean): Generator<Check> {
  if (isReached) yield { name: proxy === undefined ? 'tcp' : 'proxy', verdict: ok(proxy === undefined ? `${gateway.host} accepts connections` : `${proxy.url.host} leads to ${gateway.host}`) }
}

async function nameVerdict(host: string, title: string): Promise<Verdict> {
  try {
    const addresses = await lookup(host, { all: true })
    return ok(`${host} is ${addresses.map(({ address }) => address).join(', ')}`)
  } catch (error) {
    return dialVerdict({ step: 'name', message: `the name of the gateway ${title} can’t be resolved: ${error instanceof Error ? error.message : String(error)}`, gateway: title })
  }
}

interface Opening {
  readonly mustBeTrusted: boolean
  readonly hasSmallHello?: boolean
  /** Whose certificate is shown, where they have one: only to a gateway that must be trusted. */
  readonly credentials?: Credentials
}

async function opened({ gateway, caPem, proxy }: GatewayCheckOptions, { mustBeTrusted, hasSmallHello = false, credentials }: Opening): Promise<TLSSocket | DialError> {
  try {
    const certificate = credentials === undefined ? undefined : certificateIn(credentials)
    const socket = await withDeadline(async (signal) => await dialGateway({ gateway, caPem, proxy, certificate, session: undefined, mustBeTrusted, hasSmallHello, signal }))
    socket.on('error', () => undefined)
    return socket
  } catch (error) {
    if (error instanceof DialError) return error
    throw error
  }
}

/** Then it is the size that the other one was lost for. */
async function answersSmallHello(options: GatewayCheckOptions): Promise<boolean> {
  const socket = await opened(options, { mustBeTrusted: false, hasSmallHello: true })
  if (socket instanceof DialError) return false
  socket.destroy()
  return true
}

async function withDeadline<Result>(act: (signal: AbortSignal) => Promise<Result>): Promise<Result> {
  const abort = new AbortController()
  const timer = setTimeout(() => abort.abort(new Error(`nothing within ${stepMsMax / 1_000} s`)), stepMsMax)
  return await act(abort.signal).finally(() => clearTimeout(timer))
}

function tlsFacts(socket: TLSSocket): Pick<Parameters<typeof tlsVerdict>[0], 'fault' | 'protocol' | 'issuer' | 'names' | 'validFromMs' | 'validToMs'> {
  const { issuer, subjectaltname, valid_from: from, valid_to: to } = socket.getPeerCertificate()
  const fault: unknown = socket.authorizationError
  return {
    fault: socket.authorized ? undefined : fault instanceof Error ? fault.message : String(fault),
    protocol: socket.getProtocol() ?? 'no protocol',
    issuer: [issuer?.O, issuer?.CN].flat().filter((part) => part !== undefined).join(' ') || 'somebody without a name',
    names: subjectaltname ?? '',
    validFromMs: Date.parse(from), validToMs: Date.parse(to),
  }
}

interface Asked {
  /** undefined: no answer came in time */
  readonly status: number | undefined
  readonly upgrade: string | undefined
  readonly date: string | undefined
  readonly sentMs: number
  readonly receivedMs: number
}

/** `GET /v1/tunnel` without an upgrade: takes no identity, and makes no session. */
async function ask(socket: TLSSocket, paddingBytes: number): Promise<Asked> {
  const sentMs = Date.now()
  const timer = setTimeout(() => socket.destroy(), stepMsMax)
  const none: Asked = { status: undefined, upgrade: undefined, date: undefined, sentMs, receivedMs: sentMs }
  return await new Promise<Asked>((resolve) => {
    const asked = request({ createConnection: () => socket, path: '/v1/tunnel', headers: { Host: 'tunnel', ...(paddingBytes === 0 ? {} : { 'Sluice-Padding': 'x'.repeat(paddingBytes) }) } }, ({ statusCode, headers }) => {
      resolve({ status: statusCode, upgrade: headers.upgrade, date: headers.date, sentMs, receivedMs: Date.now() })
    })
    asked.on('error', () => resolve(none))
    asked.end()
  }).finally(() => {
    clearTimeout(timer)
    socket.destroy()
  })
}

async function packetsVerdict(options: GatewayCheckOptions): Promise<Verdict> {
  const socket = await opened(options, { mustBeTrusted: true })
  if (socket instanceof DialError) return failed(socket.message, 'the gateway was reached before: try again, and look at how steady the way to it is')
  const { status, sentMs, receivedMs } = await ask(socket, largeRequestBytes)
  return pathVerdict({ what: `${largeRequestBytes} bytes at once`, ms: status === undefined ? undefined : receivedMs - sentMs })
}

async function identity(options: GatewayCheckOptions): Promise<Verdict> {
  const { gateway, node, credentials, hasToken } = options
  if (credentials === undefined) return skipped(hasToken ? 'the node has no key yet, and a join token would be used up' : 'the node has nothing yet to show who it is')
  const socket = await opened(options, { mustBeTrusted: true, credentials })
  if (socket instanceof DialError) return failed(socket.message, 'the gateway was reached before: try again, and look at how steady the way to it is')
  return identityVerdict(await withDeadline(async (signal) => await probeSession(socket, { gateway, node, credentials }, signal)), { hasToken })
}
