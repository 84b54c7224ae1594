// The configuration's one source: types, defaults and bounds, from which come the checks, the error messages (each
// `description` is what an error says was expected) and the JSON Schema for editors.
//
// What is not built yet is not here, and so refused as unknown. What one key alone can't tell (a pool that does not exist,
// a hostname that two tenants claim) is checked in resolve.ts.

import { z } from 'zod'
import { healthKinds } from '../core/health/health-spec.ts'
import { failuresInARowMax } from '../core/balance/active-counts.ts'
import { schedulerKinds, schedulerMeanings, weightMax } from '../core/balance/scheduler.ts'
import { gatewaysToldMax, gatewayUrl } from '../core/tunnel/control-message.ts'
import { sourceExcesses } from '../core/limit/limits.ts'
import { namePattern } from '../core/name.ts'
import { formatCidr, parseCidr } from '../core/net/cidr.ts'
import { formatSocketAddress } from '../core/net/socket-address.ts'
import { specialAddress } from '../core/net/special-ranges.ts'
import { sentTlvKinds } from '../core/proxy-protocol/sent-header.ts'
import { parseHostnamePattern } from '../core/route/hostname.ts'
import { allowedName } from '../core/tunnel/announcement.ts'
import { parseEndpointAddress, parsePoolAddress } from './address.ts'
import { durationPattern, parseDurationMs, parseDurationUs, shortDurationPattern } from './duration.ts'
import { bindAddress, cidr, nameRule, port, text, Wrong } from './schema-parts.ts'

export const tenantsMax = 250_000
const workersMax = 256
const hostnamesPerTenantMax = 1_000
const endpointsPerTenantMax = 1_000
const listenersMax = 100
const poolsMax = 1_000
const tunnelHostnamesMax = 100
const cidrsMax = 10_000
const egressMax = 250_000
const connectionsLimitMax = 1_000_000
/** Of its rate, that a burst may be. */
const burstSecondsMax = 60
const rangesMax = 1_000
const etcdEndpointsMax = 16
export const tokenCharactersMin = 32
const etcdPrefixCharactersMax = 256
export const stateDefaults = { directory: '/var/lib/sluice', prefix: '/sluice' } as const
/** Of the address of a Unix socket, its end included (sys/un.h); the folder leaves room for the name that it is bound under first. */
const socketPathBytesMax = 107
const socketDraftBytes = 10

/** A wait that is longer is worth a sleep. */
const busyPollUsMax = 1_000

function duration(minText: string, maxText: string, meaning: string): z.ZodType<number, string> {
  const [minMs, maxMs] = [parseDurationMs(minText) ?? 0, parseDurationMs(maxText) ?? 0]
  return text(`a duration (250ms, 5s, 10m, 1h) from ${minText} to ${maxText}: ${meaning}`, durationPattern.source, (value) => {
    const valueMs = parseDurationMs(value)
    return valueMs === undefined || valueMs < minMs || valueMs > maxMs ? undefined : valueMs
  })
}

const name = text(`a name: ${nameRule}`, namePattern.source, (value) => namePattern.test(value) ? value : undefined)

const hostname = text('a hostname, or *.SUFFIX for every name below SUFFIX', undefined, (value) => {
  const parsed = parseHostnamePattern(value)
  return parsed.kind === 'pattern' ? parsed.pattern : new Wrong(parsed.detail)
})

const endpointAddress = text('ADDRESS:PORT of an API server: 10.1.0.11:31443, [2001:db8::11]:31443 or api.example.com:6443', undefined, parseEndpointAddress)

const count = (meaning: string): z.ZodOptional<z.ZodInt> => z.int().min(1).max(connectionsLimitMax).optional().meta({ description: `a whole number from 1 to ${connectionsLimitMax}: ${meaning}` })

const tenantLimits = {
  connections: count('connections open at one time, streams of its agents too'),
  connectionsPerSecond: count('connections in a second, on average'),
  connectionsBurst: count('connections at once, after a rest; a minute of connectionsPerSecond at most; absent: a second of it'),
  connectionsPerSource: count('connections open at one time from one address, or one /64 of IPv6'),
}
/** A tenant can do without a limit that the defaults have. */
const orNone = (limit: z.ZodOptional<z.ZodInt>): z.ZodOptional<z.ZodUnion<readonly [z.ZodInt, z.ZodLiteral<'none'>]>> => z.union([limit.unwrap(), z.literal('none')]).optional().meta({ description: `${limit.description}; or none` })
const ownLimits = {
  connections: orNone(tenantLimits.connections),
  connectionsPerSecond: orNone(tenantLimits.connectionsPerSecond),
  connectionsBurst: tenantLimits.connectionsBurst,
  connectionsPerSource: orNone(tenantLimits.connectionsPerSource),
}
const processLimits = {
  processConnections: count('connections open at one time, in all; absent: as many as there are descriptors for; only in defaults'),
  processConnectionsPerSecond: count('connections in a second that have found their tenant; only in defaults'),
  processConnectionsBurst: count('of these, at once, after a rest; a minute of processConnectionsPerSecond at most; only in defaults'),
  helloConnections: count('connections whose ClientHello is not whole yet; absent: half of processConnections; only in defaults'),
}
const excess = z.enum(sourceExcesses).optional().meta({
  description: 'reset, drop or ban: each connection over connectionsPerSourcePerSecond is reset; and a source that goes on gets no answer for a while (drop), or longer each time (ban), with the linux driver and without proxyProtocol; absent: reset',
})
const listenerLimits = {
  connections: tenantLimits.connections.meta({ description: `a whole number from 1 to ${connectionsLimitMax}: connections open at one time` }),
  connectionsPerSecond: tenantLimits.connectionsPerSecond,
  connectionsBurst: tenantLimits.connectionsBurst,
  connectionsPerSource: tenantLimits.connectionsPerSource,
  connectionsPerSourcePerSecond: count('connections in a second from one address, or one /64 of IPv6, on average'),
  connectionsPerSourceBurst: count('of these, at once, after a rest; a minute of connectionsPerSourcePerSecond at most; absent: a second of it'),
  connectionsPerSourceExcess: excess,
}

/** A burst, or what becomes of an excess, is nothing without its rate, in the same place. */
function rateProblems(limits: Readonly<Record<string, number | string | undefined>>): { readonly path: string; readonly message: string }[] {
  return Object.entries(limits).flatMap(([path, value]) => {
    if (value === undefined || !/(?:Burst|Excess)$/.test(path)) return []
    const rateKey = path.replace(/(?:Burst|Excess)$/, 'PerSecond')
    const rate = limits[rateKey]
    if (typeof rate !== 'number') return [{ path, message: `there is no ${rateKey} beside it` }]
    return typeof value === 'number' && value > burstSecondsMax * rate ? [{ path, message: `${value}, with ${rate} in a second` }] : []
  })
}

function limitsOf<Shape extends Readonly<Record<string, z.ZodOptional<z.ZodInt> | ReturnType<typeof orNone> | typeof excess>>>(shape: Shape): z.ZodObject<Shape, z.core.$strict> {
  return z.strictObject(shape).superRefine((limits, context) => {
    for (const { path, message } of rateProblems(limits as Parameters<typeof rateProblems>[0])) context.issues.push({ code: 'custom', path: [path], message, input: undefined })
  }).meta({ description: 'how many connections, and how fast; absent: any number' })
}

const proxyProtocol = z.strictObject({
  trustedSources: z.array(cidr).min(1).max(cidrsMax).meta({ description: 'the networks of the balancers in front: connections from elsewhere are refused' }),
}).meta({ description: 'every connection must begin with a PROXY protocol header (v1 or v2); absent: none is accepted' })

export const listenerSchema = z.strictObject({
  address: bindAddress,
  defaultTenant: z.string().optional().meta({ description: 'the name of the tenant for hellos without a server name; absent: they are refused' }),
  proxyProtocol: proxyProtocol.optional(),
  limits: limitsOf(listenerLimits).optional(),
}).superRefine((listener, context) => {
  const what = listener.limits?.connectionsPerSourceExcess
  if (listener.proxyProtocol === undefined || what === undefined || what === 'reset') return
  context.issues.push({ code: 'custom', path: ['limits', 'connectionsPerSourceExcess'], message: `${what}, with proxyProtocol: SYNs come from the balancers`, input: undefined })
}).meta({ description: 'one address to accept TLS connections on' })

const busyPoll = text('a duration (0s, 50us, 1ms) from 0s to 1ms: threads of the linux driver poll for so long before they sleep, while that pays; it takes cores that are to spare (docs/kernel-lane.md#busy-polling)', shortDurationPattern.source, (value) => {
  const us = parseDurationUs(value)
  return us === undefined || us > busyPollUsMax ? undefined : us
})

const relaySchema = z.strictObject({
  driver: z.enum(['auto', 'linux', 'node']).default('auto').meta({ description: 'auto (linux where it runs), linux (epoll, in worker threads) or node (portable, one thread)' }),
  workers: z.union([z.literal('auto'), z.int().min(1).max(workersMax)]).default('auto').meta({ description: `auto (one for each core) or a whole number from 1 to ${workersMax}: threads of the linux driver` }),
  warmUp: duration('0s', '1m', 'each thread of the linux driver rehearses before it accepts, so that first connections are as fast as later ones; 0s: not at all').prefault('700ms'),
  kernelLane: z.enum(['off', 'auto', 'always']).default('off').meta({ description: 'off, auto (the linux driver has the kernel move the bytes of quiet connections, where it may: docs/kernel-lane.md) or always (of all that it can, or the gateway does not start)' }),
  busyPoll: busyPoll.prefault('0s'),
}).meta({ description: 'how bytes are moved' })

export const poolSchema = z.strictObject({
  addresses: z.array(text('an IP address or a hostname', undefined, parsePoolAddress)).min(1).max(endpointsPerTenantMax).meta({ description: 'the admin nodes' }),
}).meta({ description: 'a set of admin nodes, on each of which every NodePort answers' })

const scheduler = z.enum(schedulerKinds).meta({ description: schedulerKinds.map((kind) => `${kind} (${schedulerMeanings[kind]})`).join(', ') })
const attempts = z.int().min(1).max(16).meta({ description: 'a whole number from 1 to 16: endpoints tried for one connection' })
const budgetPercent = z.int().min(1).max(1_500).meta({ description: 'a whole number from 1 to 1500: of 100 connections, those that may be dialled for once more on average; 1500: all that attempts allows' })
const healthMeaning = { description: 'how endpoints are checked; one that is down gets no new connection' }
const ejectionParts = {
  failures: z.int().min(0).max(failuresInARowMax).meta({ description: `a whole number from 0 to ${failuresInARowMax}: dials of clients in a row that fail until an endpoint is passed over, whatever its checks say; 0: never` }),
  time: duration('1s', '1h', 'it is passed over the first time; the second time in a row twice that, the third time three times, up to ten times'),
  sharePercent: z.int().min(1).max(100).meta({ description: 'a whole number from 1 to 100: of a tenant’s endpoints, those that may be passed over for it at one time; one always may, but for the last' }),
}
const ejectionMeaning = { description: 'when an endpoint that clients fail to reach is passed over for a while' }
const retriesMeaning = { description: 'other endpoints are tried before any byte of an answer' }

/** A network that is mistyped is no name. */
const announceable = text('a network in CIDR notation, 10.0.0.0/8; or a host name, *.SUFFIX for every name below SUFFIX, * for all', undefined, (value) => {
  const network = parseCidr(value)
  if (network.kind === 'cidr') return formatCidr(network.cidr)
  return /[/:]|(^|\.)\d+$/.test(value) ? new Wrong(network.detail) : allowedName(value)
})

const reverse = z.strictObject({
  mayAnnounce: z.array(announceable).max(rangesMax).optional().meta({ description: 'the networks and names that agents may say they reach, their nodes’ own addresses and names too; absent: all but loopback, link-local, multicast and the unspecified address, which are never allowed' }),
}).meta({ description: 'what the tenant’s agents may announce for its API server' })

const tenantTimeouts = {
  connect: duration('10ms', '1m', 'for one endpoint to accept'),
  answer: duration('100ms', '5m', 'from the ClientHello, which one endpoint was sent, to its first byte'),
  idle: duration('1m', '24h', 'without a byte in either direction; clients of Kubernetes ping after 30s'),
  halfClosed: duration('1s', '24h', 'without a byte after one side has sent FIN'),
  drain: duration('0s', '24h', 'for connections to end by themselves when the gateway drains'),
}
const processTimeouts = {
  hello: duration('100ms', '1m', 'from the accept to the whole ClientHello; it holds before the tenant is known, so only in defaults'),
  drainGrace: duration('0s', '10m', 'between SIGTERM, when readiness fails, and the close of the listeners; only in defaults'),
}

export const exactHostname = text('a hostname, no wildcard', undefined, (value) => {
  const parsed = parseHostnamePattern(value)
  if (parsed.kind !== 'pattern') return new Wrong(parsed.detail)
  return parsed.pattern.startsWith('*.') ? undefined : parsed.pattern
})

const healthKind = z.enum([...healthKinds, 'none']).meta({ description: 'tcp (a connection is accepted), tls (and a handshake ends well), readyz (and GET /readyz is answered with 200), none (not checked, and always ready)' })
const healthIntervals = {
  interval: duration('1s', '10m', 'from one check of an endpoint to the next; ten times as often while it is about to change'),
  timeout: duration('50ms', '1m', 'for the whole of a check'),
  slowStart: duration('0s', '1h', 'from its return until an endpoint has all of its weight again'),
}
const checksInARow = (meaning: string): z.ZodInt => z.int().min(1).max(100).meta({ description: `a whole number from 1 to 100: checks in a row that ${meaning}` })
const healthCounts = {
  fall: checksInARow('fail until an endpoint gets no new connection'),
  rise: checksInARow('succeed until it is ready again'),
}
const healthNames = {
  serverName: exactHostname.optional().meta({ description: 'of kind tls and readyz: the name to ask for, and that the certificate must be for; absent: the endpoint’s address' }),
  caFile: z.string().min(1).optional().meta({ description: 'of kind tls and readyz: a file in PEM, the authorities of the API server’s certificate, read anew each minute; absent: any certificate will do' }),
}

const defaultsSchema = z.strictObject({
  scheduler: scheduler.default('wlc'),
  timeouts: z.strictObject({
    hello: processTimeouts.hello.prefault('5s'),
    connect: tenantTimeouts.connect.prefault('3s'),
    answer: tenantTimeouts.answer.prefault('5s'),
    idle: tenantTimeouts.idle.prefault('1h'),
    halfClosed: tenantTimeouts.halfClosed.prefault('5m'),
    drain: tenantTimeouts.drain.prefault('10m'),
    drainGrace: processTimeouts.drainGrace.prefault('5s'),
  }).meta({ description: 'how long each wait may take' }).prefault({}),
  retries: z.strictObject({ attempts: attempts.default(3), budgetPercent: budgetPercent.default(20) }).meta(retriesMeaning).prefault({}),
  health: z.strictObject({
    kind: healthKind.default('tcp'),
    interval: healthIntervals.interval.prefault('10s'),
    timeout: healthIntervals.timeout.prefault('3s'),
    fall: healthCounts.fall.default(3),
    rise: healthCounts.rise.default(2),
    slowStart: healthIntervals.slowStart.prefault('30s'),
    ...healthNames,
  }).meta(healthMeaning).prefault({}),
  ejection: z.strictObject({
    failures: ejectionParts.failures.default(5),
    time: ejectionParts.time.prefault('30s'),
    sharePercent: ejectionParts.sharePercent.default(50),
  }).meta(ejectionMeaning).prefault({}),
  reverse: reverse.prefault({}),
  limits: limitsOf({ ...tenantLimits, ...processLimits }).prefault({}),
}).meta({ description: 'what holds for every tenant that says nothing else' })

export const endpointSchema = z.strictObject({
  address: endpointAddress,
  weight: z.int().min(0).max(weightMax).default(1).meta({ description: `a whole number from 0 (quiesced: no new connections) to ${weightMax}; rr and lc ask only whether it is 0` }),
})

const apiServer = z.strictObject({
  pool: z.string().optional().meta({ description: 'the name of a pool' }),
  nodePort: port.optional(),
  endpoints: z.array(z.union([endpointAddress, endpointSchema]).meta({ description: 'ADDRESS:PORT, or { address: ADDRESS:PORT, weight: WEIGHT }' })).min(1).max(endpointsPerTenantMax).optional()
    .meta({ description: 'addresses of the API server' }),
}).meta({ description: 'pool and nodePort, or endpoints' })

const sentProxyProtocol = z.union([
  z.strictObject({
    version: z.literal('v2').meta({ description: 'v2: version 1 can tell nothing but addresses' }),
    tlvs: z.array(z.enum(sentTlvKinds).meta({ description: `one of ${sentTlvKinds.join(', ')}` })).min(1).refine((tlvs) => new Set(tlvs).size === tlvs.length, 'one of them twice')
      .meta({ description: `some of ${sentTlvKinds.join(', ')}, each once` }),
  }),
  z.enum(['v1', 'v2']),
]).meta({ description: `v1, v2, or { version: v2, tlvs: [${sentTlvKinds.join(', ')}] }; absent: no PROXY header is sent` })

export const tenantSchema = z.strictObject({
  name,
  hostnames: z.array(hostname).min(1).max(hostnamesPerTenantMax).meta({ description: 'the names that clients ask for: exact ones and wildcards' }),
  apiServer,
  allowedSources: z.array(cidr).min(1).max(cidrsMax).optional().meta({ description: 'the networks whose clients may connect; absent: all' }),
  sendProxyProtocol: sentProxyProtocol.optional(),
  scheduler: scheduler.optional(),
  timeouts: z.strictObject({
    connect: tenantTimeouts.connect.optional(),
    answer: tenantTimeouts.answer.optional(),
    idle: tenantTimeouts.idle.optional(),
    halfClosed: tenantTimeouts.halfClosed.optional(),
    drain: tenantTimeouts.drain.optional(),
  }).optional().meta({ description: 'instead of those in defaults' }),
  retries: z.strictObject({ attempts: attempts.optional(), budgetPercent: budgetPercent.optional() }).meta(retriesMeaning).optional(),
  health: z.strictObject({
    kind: healthKind.optional(),
    interval: healthIntervals.interval.optional(),
    timeout: healthIntervals.timeout.optional(),
    fall: healthCounts.fall.optional(),
    rise: healthCounts.rise.optional(),
    slowStart: healthIntervals.slowStart.optional(),
    ...healthNames,
  }).meta(healthMeaning).optional(),
  ejection: z.strictObject({
    failures: ejectionParts.failures.optional(),
    time: ejectionParts.time.optional(),
    sharePercent: ejectionParts.sharePercent.optional(),
  }).meta(ejectionMeaning).optional(),
  reverse: reverse.optional(),
  limits: limitsOf(ownLimits).optional(),
}).meta({ description: 'one hosted control plane' })

const certificateSchema = z.strictObject({
  certFile: z.string().min(1).meta({ description: 'a file in PEM: the certificate, and those that lead to its authority' }),
  keyFile: z.string().min(1).meta({ description: 'a file in PEM: its private key' }),
}).meta({ description: 'read anew with each reload; relative paths begin at the configuration file' })

const gatewayAddress = text('a gateway as agents reach it: wss://HOST:PORT', '^wss://', gatewayUrl)

const tunnelSchema = z.strictObject({
  hostnames: z.array(exactHostname).min(1).max(tunnelHostnamesMax).meta({ description: 'the names that agents ask for, on the listeners of the tenants' }),
  certificate: certificateSchema,
  clientCaFile: z.string().min(1).optional().meta({ description: 'a file in PEM: the authorities of agents’ certificates (O = tenant, CN = node name), read anew with each reload; absent: agents have keys and join tokens only' }),
  gateways: z.array(gatewayAddress).max(gatewaysToldMax).default([]).meta({ description: 'all gateways of the installation, this one too: agents are told, and hold sessions with them; absent: they keep to their own configuration' }),
  directLane: z.boolean().default(true).meta({ description: 'true or false: agents may also open a TCP connection for each stream, on the listeners of the tenants, let in by a ticket of their session' }),
  threads: z.union([z.literal('auto'), z.int().min(1).max(64)]).default('auto').meta({ description: 'auto (one for every two cores), or how many; they share the sessions' }),
  peerAddress: text('HOST:PORT, where the other gateways of the installation reach a listener of this one', undefined, parseEndpointAddress).optional(),
  handshakesPerSecond: z.int().min(1).max(100_000).default(200).meta({ description: 'sessions begun in a second, at most; agents that come faster are told to come later' }),
}).meta({ description: 'agents on customers’ nodes reach their API server through it; absent: none can' })

const socketPath = text(`the path of a Unix socket, at most ${socketPathBytesMax} bytes, and its folder ${socketPathBytesMax - socketDraftBytes}`, undefined, (value) => {
  const bytes = (part: string): number => new TextEncoder().encode(part).length
  const isShort = bytes(value) <= socketPathBytesMax && bytes(value.slice(0, value.lastIndexOf('/') + 1)) <= socketPathBytesMax - socketDraftBytes
  return value !== '' && !value.endsWith('/') && !value.includes('\0') && isShort ? value : undefined
})

export const egressSchema = z.strictObject({
  tenant: z.string().optional().meta({ description: 'the name of the tenant whose API server opens the socket' }),
  socket: socketPath.optional(),
  address: bindAddress.optional(),
  certificate: certificateSchema.optional(),
  clientCaFile: z.string().min(1).optional().meta({ description: 'a file in PEM: the authorities of API servers’ certificates (O = tenant), read anew with each reload' }),
}).superRefine(({ tenant, socket, address, certificate, clientCaFile }, context) => {
  const wrong = egressKeysProblem({ forSocket: [tenant, socket], forTls: [address, certificate, clientCaFile] })
  if (wrong !== undefined) context.issues.push({ code: 'custom', message: wrong, input: undefined })
}).meta({ description: 'either { tenant, socket } or { address, certificate, clientCaFile }' })

/** Which keys are there. */
function egressKeysProblem({ forSocket, forTls }: { readonly forSocket: readonly unknown[]; readonly forTls: readonly unknown[] }): string | undefined {
  const [socketKeys, tlsKeys] = [forSocket, forTls].map((values) => values.filter((value) => value !== undefined).length)
  if (socketKeys === forSocket.length && tlsKeys === 0) return undefined
  if (tlsKeys === forTls.length && socketKeys === 0) return undefined
  return socketKeys === 0 || tlsKeys === 0 ? 'keys are missing' : 'keys of both kinds'
}

const etcdEndpoint = text('a member of etcd: https://HOST:PORT', '^https://', (value) => {
  if (value.startsWith('http://')) return new Wrong('join tokens’ hashes and nodes’ keys are not for the network to see or change')
  const address = value.startsWith('https://') ? parseEndpointAddress(value.slice('https://'.length)) : undefined
  return address === undefined ? undefined : formatSocketAddress(address)
})

/** Segments as the store's own keys have them. */
const etcdPrefixPattern = /^(\/[A-Za-z0-9._-]+)+$/

const stateSchema = z.strictObject({
  kind: z.enum(['file', 'etcd']).default('file').meta({ description: 'file (a directory, for the processes of one machine) or etcd (for gateways on several)' }),
  directory: z.string().min(1).optional().meta({ description: `of kind file: a directory that nobody else can write; relative paths begin at the configuration file; absent: ${stateDefaults.directory}` }),
  endpoints: z.array(etcdEndpoint).min(1).max(etcdEndpointsMax).optional().meta({ description: 'of kind etcd: its members, https://HOST:PORT, asked one after the other' }),
  prefix: text(`of kind etcd: what its keys begin with, /SEGMENT/SEGMENT…, at most ${etcdPrefixCharactersMax} characters; absent: ${stateDefaults.prefix}`, etcdPrefixPattern.source, (value) => etcdPrefixPattern.test(value) && value.length <= etcdPrefixCharactersMax ? value : undefined).optional(),
  caFile: z.string().min(1).optional().meta({ description: 'of kind etcd: a file in PEM, the authorities of its certificates; absent: those that Node has' }),
  certFile: z.string().min(1).optional().meta({ description: 'of kind etcd: a file in PEM, a client certificate, whose CN is a user of etcd where that asks for one' }),
  keyFile: z.string().min(1).optional().meta({ description: 'of kind etcd: a file in PEM, the private key of certFile' }),
  username: z.string().min(1).optional().meta({ description: 'of kind etcd: a user of etcd, with a password' }),
  passwordFile: z.string().min(1).optional().meta({ description: 'of kind etcd: a file with the password of username' }),
  tenants: z.boolean().optional().meta({ description: 'of kind etcd: true or false: tenants are also what is below tenants/ there, each as in a list of tenants; absent: false' }),
}).superRefine(({ kind, ...keys }, context) => {
  const wrong = (message: string, ...path: string[]): void => void context.issues.push({ code: 'custom', message, path, input: undefined })
  const { directory, ...etcd } = keys
  if (kind === 'etcd' && directory !== undefined) wrong('a key of kind: file, beside kind: etcd', 'directory')
  if (kind === 'etcd' && etcd.endpoints === undefined) wrong('kind: etcd without endpoints')
  for (const [key, value] of Object.entries(etcd)) if (kind === 'file' && value !== undefined) wrong('a key of kind: etcd, beside kind: file', key)
  for (const [one, other] of [['certFile', 'keyFile'], ['username', 'passwordFile']] as const) {
    if ((keys[one] === undefined) !== (keys[other] === undefined)) wrong(`${one} and ${other} need each other`)
  }
}).meta({ description: 'where join tokens and enrolled nodes are kept: { kind: file, directory } or { kind: etcd, endpoints, prefix, caFile, certFile and keyFile, username and passwordFile }' })

const adminSchema = z.strictObject({
  address: bindAddress.prefault('127.0.0.1:9443'),
  socket: socketPath.optional(),
  certificate: certificateSchema.optional(),
  tokenFile: z.string().min(1).optional().meta({ description: `a file with a token, one line of ${tokenCharactersMin} characters or more: who sends it as Authorization: Bearer may use the pages under /v1 of admin.address; read anew with each reload; absent: on loopback anybody may, elsewhere nobody` }),
}).superRefine(({ address: { address }, certificate, tokenFile }, context) => {
  const wrong = (message: string): void => void context.issues.push({ code: 'custom', message: `${formatSocketAddress(address)} is not on loopback, and ${message}`, input: undefined })
  if (specialAddress(address.address) === 'loopback') return
  if (tokenFile !== undefined && certificate === undefined) wrong('a token without a certificate would cross the network in the clear')
  if (tokenFile === undefined && certificate !== undefined) wrong('with a certificate but no tokenFile nobody could use the pages under /v1')
}).meta({ description: 'an address, with certificate and tokenFile together where it is not on loopback, and a socket: where /healthz, /readyz and /metrics are for anybody, and /v1 for those who run the gateway' })

export const configSchema = z.strictObject({
  listeners: z.array(listenerSchema).min(1).max(listenersMax).meta({ description: 'at least one listener' }),
  relay: relaySchema.prefault({}),
  pools: z.record(name, poolSchema).refine((pools) => Object.keys(pools).length <= poolsMax, `more than ${poolsMax} pools`)
    .meta({ description: 'sets of admin nodes, by name' }).prefault({}),
  defaults: defaultsSchema.prefault({}),
  tenants: z.array(tenantSchema).max(tenantsMax).meta({ description: `a list of at most ${tenantsMax} tenants` }).prefault([]),
  tunnel: tunnelSchema.optional(),
  egress: z.array(egressSchema).max(egressMax).default([]).meta({ description: 'where API servers ask for connections to their nodes, with CONNECT (EgressSelectorConfiguration, HTTPConnect); needs a tunnel' }),
  state: stateSchema.prefault({}),
  admin: adminSchema.prefault({}),
}).meta({ title: 'Sluice', description: 'The configuration of sluice gateway' })

export type ParsedConfig = z.output<typeof configSchema>
