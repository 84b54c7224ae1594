// What an agent says that it reaches, in the headers of its upgrade, and what of it may not be said. A gateway lets API servers'
// connections go where an agent has announced that they can.
//
//   Sluice-Addresses: 192.0.2.11, 2001:db8::11      the node's own
//   Sluice-Ranges: 10.244.3.0/24, 10.96.0.0/12      pods, services
//   Sluice-Names: webhook.corp.example              what only the agent can resolve

import type { Announced } from '../egress/agent-table.ts'
import { namePattern } from '../name.ts'
import { formatCidr, parseCidr, type Cidr } from '../net/cidr.ts'
import { canonicalAddress } from '../net/ip-address.ts'
import { isWithin, specialWithin } from '../net/special-ranges.ts'

export const announcementLimits = {
  addressesMax: 64,
  rangesMax: 64,
  namesMax: 64,
} as const

/** Something announced that does not hold. */
export interface RefusedAnnouncement {
  /** An address, a network or a name. */
  readonly announced: string
  readonly why: string
}

/** @returns headers of the upgrade request */
export function encodeAnnouncement({ addresses, ranges, names }: Announced): Readonly<Record<string, string>> {
  return {
    ...(addresses.length === 0 ? {} : { 'Sluice-Addresses': addresses.join(', ') }),
    ...(ranges.length === 0 ? {} : { 'Sluice-Ranges': ranges.join(', ') }),
    ...(names.length === 0 ? {} : { 'Sluice-Names': names.join(', ') }),
  }
}

/** @param headers with names in lower case, as node:http has them */
export function announcementIn(headers: Readonly<Record<string, string | readonly string[] | undefined>>): Announced | { readonly malformed: string } {
  const { addressesMax, rangesMax, namesMax } = announcementLimits
  const addresses = listIn(headers['sluice-addresses'], addressesMax, canonicalAddress)
  const ranges = listIn(headers['sluice-ranges'], rangesMax, canonicalCidr)
  const names = listIn(headers['sluice-names'], namesMax, announcedName)
  if (addresses === undefined) return { malformed: `sluice-addresses: at most ${addressesMax} IP addresses were expected` }
  if (ranges === undefined) return { malformed: `sluice-ranges: at most ${rangesMax} networks in CIDR notation were expected` }
  if (names === undefined) return { malformed: `sluice-names: at most ${namesMax} host names were expected` }
  return { addresses, ranges, names }
}

/** Whether it is as `announcementIn` gives it. */
export function isAnnounced({ addresses, ranges, names }: Announced): boolean {
  const { addressesMax, rangesMax, namesMax } = announcementLimits
  const areWritten = (texts: readonly string[], max: number, parse: (text: string) => string | undefined): boolean => texts.length <= max && texts.every((text) => parse(text) === text)
  return areWritten(addresses, addressesMax, canonicalAddress) && areWritten(ranges, rangesMax, canonicalCidr) && areWritten(names, namesMax, announcedName)
}

/**
 * What may not be announced, whoever has it.
 * @param node its name, by which it is reached as well; one that reads as an address never is
 * @param mayAnnounce networks and names (`allowedName`); undefined: whatever is not special
 */
export function announcementFaults({ addresses, ranges, names }: Announced, node: string, mayAnnounce: readonly string[] | undefined): readonly RefusedAnnouncement[] {
  const allowed = mayAnnounce?.flatMap((network) => cidrIn(network))
  const outside = (announced: string): RefusedAnnouncement => ({ announced, why: `not within what the tenant may announce: ${mayAnnounce?.length === 0 ? 'nothing' : mayAnnounce?.slice(0, 8).join(', ')}` })
  const faults = [...addresses, ...ranges].flatMap((announced) => cidrIn(announced).flatMap((cidr) => {
    const special = specialWithin(cidr)
    if (special !== undefined) return [{ announced, why: `${special} can't be announced` }]
    return allowed === undefined || allowed.some((network) => isWithin(cidr, network)) ? [] : [outside(announced)]
  }))
  if (mayAnnounce === undefined) return faults
  const ownName = canonicalAddress(node) === undefined ? [node] : []
  const namesOutside = [...new Set([...ownName, ...names])].filter((name) => !mayAnnounce.some((pattern) => covers(pattern, name)))
  return [...faults, ...namesOutside.map(outside)]
}

export function without({ addresses, ranges, names }: Announced, node: string, faults: readonly RefusedAnnouncement[]): Announced {
  const refused = new Set(faults.map(({ announced }) => announced))
  const holds = (each: string): boolean => !refused.has(each)
  return { addresses: addresses.filter(holds), ranges: ranges.filter(holds), names: names.filter(holds), ...(holds(node) ? {} : { isNameRefused: true }) }
}

/** Of what may be announced: a name, `*.` and one for all names below it, `*` for all. */
export function allowedName(text: string): string | undefined {
  return text === '*' ? text : announcedName(text)
}

function covers(pattern: string, name: string): boolean {
  return pattern === '*' || pattern === name || (pattern.startsWith('*.') && name.endsWith(pattern.slice(1)))
}

/** A host name in lower case, or `*.` and one. */
export function announcedName(text: string): string | undefined {
  const name = text.toLowerCase()
  return namePattern.test(name.replace(/^\*\./, '')) && canonicalAddress(name) === undefined ? name : undefined
}

function listIn(header: string | readonly string[] | undefined, max: number, parse: (text: string) => string | undefined): readonly string[] | undefined {
  if (header === undefined) return []
  if (typeof header !== 'string') return undefined
  const parsed = header.split(',').map((each) => parse(each.trim()))
  return parsed.length <= max && parsed.every((each) => each !== undefined) ? [...new Set(parsed)] : undefined
}

function canonicalCidr(text: string): string | undefined {
  const parsed = parseCidr(text)
  return parsed.kind === 'cidr' ? formatCidr(parsed.cidr) : undefined
}

function cidrIn(text: string): readonly Cidr[] {
  const parsed = parseCidr(text)
  return parsed.kind === 'cidr' ? [parsed.cidr] : []
}
