// A node's own addresses, where its configuration does not say: those of its interfaces, less what every node has alike and what
// belongs to containers.

import type { NetworkInterfaceInfo } from 'node:os'
import { parseCidr } from '../core/net/cidr.ts'
import { canonicalAddress } from '../core/net/ip-address.ts'
import { isWithin, specialAddress } from '../core/net/special-ranges.ts'

/** Bridges and tunnels of container networks: docker0 is 172.17.0.1 on every node that has it. */
const ofContainers = /^(?:docker|br-|cni|veth|virbr|flannel|cali|cilium|lxc|kube-|nodelocaldns|dummy|tunl|vxlan|geneve|podman)/

/** @param added addresses that the agent itself adds */
export function ownAddresses(interfaces: Readonly<Record<string, readonly NetworkInterfaceInfo[] | undefined>>, added: readonly string[]): readonly string[] {
  return Object.entries(interfaces).filter(([name]) => !ofContainers.test(name)).flatMap(([, addresses = []]) => addresses.flatMap(({ internal, address }) => {
    const canonical = canonicalAddress(address)
    return internal || canonical === undefined || specialAddress(canonical) !== undefined || added.includes(canonical) ? [] : canonical
  }))
}

/** Of two networks in CIDR notation, whether they have an address in common. */
export function overlap(one: string, other: string): boolean {
  const [left, right] = [parseCidr(one), parseCidr(other)]
  return left.kind === 'cidr' && right.kind === 'cidr' && (isWithin(left.cidr, right.cidr) || isWithin(right.cidr, left.cidr))
}
