// The agent's configuration: types, defaults and bounds, as schema.ts has them for the gateway.

import { hostname as systemHostname, networkInterfaces } from 'node:os'
import { z } from 'zod'
import { namePattern } from '../core/name.ts'
import { canonicalAddress } from '../core/net/ip-address.ts'
import type { SocketAddress } from '../core/net/socket-address.ts'
import { announcedName, announcementLimits } from '../core/tunnel/announcement.ts'
import type { AllowEntry, PortRange } from '../core/tunnel/reverse-policy.ts'
import { durationPattern, parseDurationMs } from './duration.ts'
import { overlap, ownAddresses } from './node-addresses.ts'
import { parseText, type LoadOptions } from './parse-text.ts'
import { readConfigFile } from './read-file.ts'
import type { PathProblem } from './resolve.ts'
import { bindAddress, cidr, port, text, Wrong } from './schema-parts.ts'

const gatewaysMax = 16
const forwardMax = 16
const allowMax = 256
const portsMax = 64
const kubeletPort = 10_250

const unspecified: ReadonlySet<string> = new Set(['0.0.0.0', '::'])

const gateway = text('a gateway: wss://HOST:PORT', '^wss://', (value) => {
  const url = URL.canParse(value) ? new URL(value) : undefined
  return url?.protocol === 'wss:' && url.username === '' && url.password === '' && (url.pathname === '/' || url.pathname === '') && url.search === '' && url.hash === '' ? url : undefined
})

const nodeName = text('a node’s name, as Kubernetes has it: lower-case letters, digits, hyphens and dots; absent: the host name', undefined, (value) => namePattern.test(value) ? value : undefined)

const proxyUrl = text('a proxy: http://HOST:PORT or https://HOST:PORT', '^https?://', (value) => {
  // Of any text: what can't be read as an address may still hold a password.
  if (value.includes('@')) return new Wrong('an address with credentials in it, which belong into proxy.credentialsFile', { isSecret: true })
  const url = URL.canParse(value) ? new URL(value) : undefined
  return url !== undefined && /^https?:$/.test(url.protocol) && url.pathname === '/' && url.search === '' && url.hash === '' ? url : undefined
})

const ports = z.array(z.union([
  port.transform((value): PortRange => ({ from: value, to: value })),
  text('a range of ports: 8000-8100', '^[0-9]+-[0-9]+$', (value) => {
    const [, from, to] = /^(\d{1,5})-(\d{1,5})$/.exec(value) ?? []
    return from !== undefined && Number(from) >= 1 && Number(from) <= Number(to) && Number(to) <= 65_535 ? { from: Number(from), to: Number(to) } : undefined
  }),
]).meta({ description: 'a port, 1 to 65535, or a range of ports, 8000-8100' })).min(1).max(portsMax).meta({ description: 'ports, 10250, and ranges of them, 8000-8100' })

const allowEntry = z.strictObject({
  node: z.literal(true).optional().meta({ description: 'true: the node’s own addresses' }),
  cidr: cidr.optional(),
  host: text('a host name, or *.SUFFIX for every name below SUFFIX', undefined, announcedName).optional(),
  ports,
}).superRefine(({ node, cidr: network, host }, context) => {
  if ([node, network, host].filter((each) => each !== undefined).length !== 1) context.issues.push({ code: 'custom', message: 'there must be one of node, cidr and host', input: undefined })
}).meta({ description: 'one of { node: true }, { cidr } and { host }, with ports' })

const agentSchema = z.strictObject({
  gateways: z.array(gateway).min(1).max(gatewaysMax).meta({ description: 'gateways to begin with; they tell of the others' }),
  sessions: z.union([z.literal('all'), z.int().min(1).max(gatewaysMax)]).default('all').meta({ description: 'all (gateways that there are), or how many: then each node picks its own' }),
  caFile: z.string().min(1).optional().meta({ description: 'a file in PEM: the authorities that gateways’ certificates may come from; absent: the system’s' }),
  token: z.strictObject({
    file: z.string().min(1).meta({ description: 'a file with a join token' }),
  }).optional().meta({ description: 'needed until the node is enrolled; read at each try' }),
  certificate: z.strictObject({
    certFile: z.string().min(1).meta({ description: 'a file in PEM: the node’s certificate (O = tenant, CN = node.name), and those that lead to its authority' }),
    keyFile: z.string().min(1).meta({ description: 'a file in PEM: its private key' }),
  }).optional().meta({ description: 'in place of a token and a key of the agent’s own; read at each try' }),
  state: z.strictObject({
    directory: z.string().min(1).default('/var/lib/sluice-agent').meta({ description: 'a directory for the node’s key' }),
  }).prefault({}),
  node: z.strictObject({
    name: nodeName.optional(),
    addresses: z.array(text('an IP address', undefined, canonicalAddress)).max(announcementLimits.addressesMax).optional().meta({ description: 'the node’s own addresses, as its API server has them; absent: those of its interfaces, but for bridges and tunnels of containers' }),
  }).prefault({}),
  forward: z.array(z.strictObject({
    listen: bindAddress,
    addAddress: z.boolean().default(false).meta({ description: 'true or false: put the address on the device lo while the agent runs, which needs CAP_NET_ADMIN (Linux)' }),
    lane: z.enum(['mux', 'direct', 'auto']).default('mux').meta({ description: 'mux (streams of the session), direct (a TCP connection for each, let in by a ticket), or auto (direct where that works)' }),
  }).superRefine(({ listen, addAddress }, context) => {
    if (addAddress && unspecified.has(listen.address.address)) context.issues.push({ code: 'custom', path: ['addAddress'], message: `${listen.text} stands for every address: there is none to add`, input: addAddress })
  }).meta({ description: 'an address whose connections go to the API server' })).min(1).max(forwardMax).meta({ description: 'at least one address to listen on' }),
  reverse: z.strictObject({
    allow: z.array(allowEntry).max(allowMax).prefault([{ node: true, ports: [kubeletPort] }]).meta({ description: 'what the API server may reach by this agent; loopback and link-local only where a cidr within them says so' }),
    announce: z.array(cidr).max(announcementLimits.rangesMax).default([]).meta({ description: 'networks that the gateway may send connections for to this agent, beside the node’s own addresses' }),
    dialTimeout: text('a duration (250ms, 5s) from 100ms to 7s: for what is dialled to answer', durationPattern.source, (value) => {
      const valueMs = parseDurationMs(value)
      return valueMs === undefined || valueMs < 100 || valueMs > 7_000 ? undefined : valueMs
    }).prefault('5s'),
  }).meta({ description: 'the way from the API server to this side: kubelet, webhooks, aggregated APIs' }).prefault({}),
  proxy: z.strictObject({
    url: proxyUrl,
    credentialsFile: z.string().min(1).optional().meta({ description: 'a file with one line, USER:PASSWORD; read at each try' }),
    caFile: z.string().min(1).optional().meta({ description: 'a file in PEM: the authorities that the certificate of an https:// proxy may come from; absent: the system’s' }),
  }).optional().meta({ description: 'the HTTP proxy on the way to the gateways, asked with CONNECT; absent: none, whatever HTTPS_PROXY says' }),
  admin: z.strictObject({
    address: bindAddress,
  }).optional().meta({ description: 'where /healthz, /readyz, /metrics and /v1/status are served; absent: nowhere' }),
}).superRefine(({ token, certificate }, context) => {
  if (token !== undefined && certificate !== undefined) context.issues.push({ code: 'custom', path: ['token'], message: 'there is a certificate, which needs no token', input: token })
}).meta({ title: 'Sluice agent', description: 'The configuration of sluice agent' })

/** After it has been read: every default resolved. */
export interface AgentConfig {
  readonly gateways: readonly URL[]
  /** Infinity: all. */
  readonly sessions: number
  /** Paths as written. */
  readonly caFile?: string
  readonly tokenFile?: string
  /** In place of a token and a key of the agent's own. */
  readonly certificate?: CertificateConfig
  readonly stateDirectory: string
  readonly node: string
  /** The node's own. */
  readonly addresses: readonly string[]
  readonly reverse: ReverseConfig
  readonly forward: readonly ForwardConfig[]
  readonly proxy?: ProxyConfig
  readonly admin?: { readonly address: SocketAddress }
}

export interface CertificateConfig {
  /** As written. */
  readonly certFile: string
  readonly keyFile: string
}

export interface ForwardConfig {
  readonly listen: SocketAddress
  readonly addAddress: boolean
  readonly lane: 'mux' | 'direct' | 'auto'
}

export interface ReverseConfig {
  readonly allow: readonly AllowEntry[]
  /** In CIDR notation. */
  readonly announce: readonly string[]
  readonly dialTimeoutMs: number
}

export interface ProxyConfig {
  readonly url: URL
  /** Paths as written. */
  readonly credentialsFile?: string
  readonly caFile?: string
}

/** @throws {ConfigError} */
export function loadAgentConfig({ file, env }: LoadOptions): AgentConfig {
  const { gateways, sessions, caFile, token, certificate, state, node, reverse, forward, proxy, admin } = parseText({ file, env, text: readConfigFile(file) }, { schema: agentSchema, needed: 'gateways and forward', crossProblems: (parsed) => [...laneProblems(parsed), ...namesProblems(parsed), ...announceProblems(parsed)] })
  return {
    gateways,
    sessions: sessions === 'all' ? Infinity : sessions,
    ...(caFile === undefined ? {} : { caFile }),
    ...(token === undefined ? {} : { tokenFile: token.file }),
    ...(certificate === undefined ? {} : { certificate }),
    stateDirectory: state.directory,
    node: node.name ?? systemHostname().toLowerCase(),
    addresses: node.addresses ?? ownAddresses(networkInterfaces(), forward.filter(({ addAddress }) => addAddress).map(({ listen }) => listen.address.address)).slice(0, announcementLimits.addressesMax),
    reverse: { allow: reverse.allow.map(allowed), announce: reverse.announce, dialTimeoutMs: reverse.dialTimeout },
    forward: forward.map(({ listen, addAddress, lane }) => ({ listen: listen.address, addAddress, lane })),
    ...(proxy === undefined ? {} : { proxy: proxyConfig(proxy) }),
    ...(admin === undefined ? {} : { admin: { address: admin.address.address } }),
  }
}

/** A proxy lets through what it was asked to connect to TLS, and no more. */
function laneProblems(parsed: z.output<typeof agentSchema> | undefined): readonly PathProblem[] {
  if (parsed?.proxy === undefined) return []
  return parsed.forward.flatMap(({ lane }, index) => lane === 'direct' ? [{ path: ['forward', index, 'lane'], message: 'direct, with a proxy on the way', expected: 'mux or auto where there is a proxy' }] : [])
}

/** Every name that is allowed is announced, and a gateway takes no more of them. */
function namesProblems(parsed: z.output<typeof agentSchema> | undefined): readonly PathProblem[] {
  const names = new Set(parsed?.reverse.allow.flatMap(({ host }) => host ?? []))
  const { namesMax } = announcementLimits
  return names.size <= namesMax ? [] : [{ path: ['reverse', 'allow'], message: `${names.size} host names, which are announced`, expected: `at most ${namesMax} of them` }]
}

/** What is announced and nowhere allowed would only lead connections here to be refused. */
function announceProblems(parsed: z.output<typeof agentSchema> | undefined): readonly PathProblem[] {
  if (parsed === undefined) return []
  const { allow, announce } = parsed.reverse
  const networks = allow.flatMap(({ cidr: network }) => network === undefined ? [] : network)
  return announce.flatMap((network, index) => networks.some((each) => overlap(each, network)) ? [] : [{ path: ['reverse', 'announce', index], message: `${network} is announced, and nothing in it is allowed`, expected: 'a network that reverse.allow has an entry for' }])
}

function allowed({ node, cidr: network, host, ports: ranges }: z.output<typeof allowEntry>): AllowEntry {
  if (node === true) return { kind: 'node', ports: ranges }
  return network === undefined ? { kind: 'host', host: host ?? '', ports: ranges } : { kind: 'cidr', cidr: network, ports: ranges }
}

function proxyConfig({ url, credentialsFile, caFile }: NonNullable<z.output<typeof agentSchema>['proxy']>): ProxyConfig {
  return { url, ...(credentialsFile === undefined ? {} : { credentialsFile }), ...(caFile === undefined ? {} : { caFile }) }
}
