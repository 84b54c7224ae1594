// What an agent dials for its API server: what its own configuration allows, whatever the gateway asks for.
//
//   asked(host, port)  ─▶ an address: allowed or not · a name: to be resolved, if any address could be allowed
//   resolved(address)  ─▶ the address that would be dialled: allowed or not
//
// Loopback, link-local and the like are never reached by accident: only a network that lies within them allows them. That keeps
// 169.254.169.254, where clouds give out credentials, out of 0.0.0.0/0.

import { parseCidr, type Cidr } from '../net/cidr.ts'
import { canonicalAddress, formatIpAddress, parseIpAddress } from '../net/ip-address.ts'
import { isAllSpecial, isWithin, specialAddress } from '../net/special-ranges.ts'
import { announcedName } from './announcement.ts'

/** Both included. */
export interface PortRange {
  readonly from: number
  readonly to: number
}

export type AllowEntry =
  /** The node's own addresses. */
  | { readonly kind: 'node'; readonly ports: readonly PortRange[] }
  /** In CIDR notation. */
  | { readonly kind: 'cidr'; readonly cidr: string; readonly ports: readonly PortRange[] }
  /** A name in lower case, or `*.` and one: wherever it leads. */
  | { readonly kind: 'host'; readonly host: string; readonly ports: readonly PortRange[] }

export type AskedVerdict =
  /** Each is to be dialled, until one answers. */
  | { readonly kind: 'dial'; readonly addresses: readonly string[] }
  /** Then `resolved` is to be asked of each address. */
  | { readonly kind: 'resolve'; readonly name: string }
  | { readonly kind: 'refused'; readonly why: string }

export interface ReversePolicy {
  /** @param host as the gateway wrote it, without brackets */
  asked(host: string, port: number): AskedVerdict
  /** @returns why not; undefined: it may be dialled */
  resolved(name: string, address: string, port: number): string | undefined
}

interface ParsedEntry {
  readonly networks: readonly Cidr[]
  /** These are its node's addresses, and so only names of the node can lead there. */
  readonly isNode: boolean
  /** That special addresses may be dialled in. */
  readonly specialNetworks: readonly Cidr[]
  readonly host: string | undefined
  readonly ports: readonly PortRange[]
}

/**
 * @param node its name, and its own addresses, which are what its name stands for
 * @throws an error for an entry that is no network: a bug of who has read the configuration
 */
export function createReversePolicy(allow: readonly AllowEntry[], node: { readonly name: string; readonly addresses: readonly string[] }): ReversePolicy {
  const own = node.addresses.map(networkIn)
  const entries = allow.map((entry): ParsedEntry => {
    const networks = entry.kind === 'node' ? own : entry.kind === 'cidr' ? [networkIn(entry.cidr)] : []
    return { networks, isNode: entry.kind === 'node', specialNetworks: networks.filter(isAllSpecial), host: entry.kind === 'host' ? entry.host : undefined, ports: entry.ports }
  })
  const resolved = (name: string | undefined, address: string, port: number): string | undefined => {
    const parsed = parseIpAddress(address)
    if (parsed === undefined) return `${address} is no IP address`
    const cidr: Cidr = { network: parsed, prefixBits: 8 * parsed.bytes.length }
    const special = specialAddress(address)
    const isAllowed = entries.some(({ networks, specialNetworks, host, ports }) => hasPort(ports, port) && (
      (special === undefined ? networks : specialNetworks).some((network) => isWithin(cidr, network))
      || (special === undefined && name !== undefined && host !== undefined && matches(host, name))
    ))
    if (isAllowed) return undefined
    const place = `${name === undefined ? '' : `${name} is `}${formatIpAddress(parsed)}, port ${port}`
    return special === undefined ? `${place}: not in reverse.allow` : `${place}: ${special} is not dialled unless reverse.allow names it`
  }
  return {
    resolved,
    asked: (host, port) => {
      const address = canonicalAddress(host)
      if (address !== undefined) {
        const why = resolved(undefined, address, port)
        return why === undefined ? { kind: 'dial', addresses: [address] } : { kind: 'refused', why }
      }
      const name = announcedName(host.replace(/\.$/, ''))
      // What a resolver would take for an address in another spelling (2852039166, 0xa9.0xfe.0xa9fe) is no name.
      if (name === undefined || name.startsWith('*') || /^(?:0x[0-9a-f]*|\d+)$/.test(name.slice(name.lastIndexOf('.') + 1))) return { kind: 'refused', why: `${host.slice(0, 100)} is neither an IP address nor a host name` }
      if (name === node.name) {
        const addresses = node.addresses.filter((each) => resolved(undefined, each, port) === undefined)
        return addresses.length > 0 ? { kind: 'dial', addresses } : { kind: 'refused', why: `port ${port} of this node: not in reverse.allow` }
      }
      // In another form: worker-1 as worker-1.example.com, or that as worker-1.
      const isOfNode = name.startsWith(`${node.name}.`) || node.name.startsWith(`${name}.`)
      const mayLead = entries.some(({ networks, isNode, host: pattern, ports }) => hasPort(ports, port) && (pattern === undefined ? networks.length > 0 && (!isNode || isOfNode) : matches(pattern, name)))
      return mayLead ? { kind: 'resolve', name } : { kind: 'refused', why: `${name}, port ${port}: not in reverse.allow` }
    },
  }
}

function networkIn(text: string): Cidr {
  const parsed = parseCidr(text)
  if (parsed.kind === 'invalid') throw new Error(`bug: ${text}: ${parsed.detail}`)
  return parsed.cidr
}

function hasPort(ports: readonly PortRange[], port: number): boolean {
  return ports.some(({ from, to }) => from <= port && port <= to)
}

function matches(pattern: string, name: string): boolean {
  return pattern.startsWith('*.') ? name.endsWith(pattern.slice(1)) && name.length > pattern.length - 1 : name === pattern
}
