// The network of the lab: hosts on one segment of Ethernet, each a network namespace behind a bridge that is another.
//
//   clients  198.18.2.1 and .2 ──────────────┐          198.19.0.1, the place: an address that all gateways have, and to
//   gateways 198.18.0.1 to .3 ───────────────┤ bridge   which clients have one route by way of each
//   admin nodes 198.18.1.1 to .4 ────────────┘
//
// Addresses are of the range for benchmarks (RFC 2544). No namespace has a name, so the last process that has one ends it, however it ends.

import { execFileSync } from 'node:child_process'
import { NetworkNamespace } from '../../bench/neighbours/namespace.ts'
import { LabProcess, type LabProcessOptions } from '../support/lab-process.ts'

const commandTimeoutMs = 30_000
/** Of a host that clients are on: which gateway a route with several ways takes, the system decides by addresses. */
const addressesOfClient = 32
export const placeAddress = '198.19.0.1'
/** Of `ip`, which is given descriptors behind its standard streams. */
const firstGivenFd = 3

const networks = { gateway: '198.18.0', node: '198.18.1', client: '198.18.2' } as const

export class LabHost {
  readonly name: string
  readonly address: string
  readonly #macAddress: string
  readonly #bridge: NetworkNamespace
  #namespace: NetworkNamespace

  /** @param index among all hosts */
  constructor({ name, address, index, bridge }: { readonly name: string; readonly address: string; readonly index: number; readonly bridge: NetworkNamespace }) {
    this.name = name
    this.address = address
    this.#macAddress = `02:00:00:00:00:${index.toString(16).padStart(2, '0')}`
    this.#bridge = bridge
    this.#namespace = this.#boot()
  }

  get namespace(): NetworkNamespace {
    return this.#namespace
  }

  /** A process that is on this host. */
  run(options: LabProcessOptions): LabProcess {
    return this.#namespace.within(() => new LabProcess(options))
  }

  /** Its cable is pulled: nothing reaches it or leaves it, and nobody is told. */
  vanish(): void {
    this.#bridge.within(() => ip([`link set ${this.name} down`]))
  }

  comeBack(): void {
    this.#bridge.within(() => ip([`link set ${this.name} up`]))
  }

  /** The power is cut, and back: a host of the same addresses, whose system knows of no connection. Its processes must have ended. */
  reboot(): void {
    this.#bridge.within(() => ip([`link delete ${this.name}`]))
    this.#namespace.close()
    this.#namespace = this.#boot()
  }

  ip(...lines: readonly string[]): void {
    this.#namespace.within(() => ip(lines))
  }

  close(): void {
    this.#namespace.close()
  }

  #boot(): NetworkNamespace {
    const namespace = new NetworkNamespace()
    this.#bridge.within(() => ip([
      `link add ${this.name} type veth peer name eth0 address ${this.#macAddress} netns /proc/self/fd/${firstGivenFd}`,
      `link set ${this.name} master bridge addrgenmode none up`,
    ], [namespace.fd]))
    namespace.within(() => ip(['link set lo up', `address add ${this.address}/16 dev eth0`, 'link set eth0 addrgenmode none up']))
    return namespace
  }
}

export class Segment {
  readonly gateways: readonly LabHost[]
  readonly nodes: readonly LabHost[]
  readonly clients: readonly LabHost[]
  readonly #bridge = new NetworkNamespace()

  /** @throws an error that says what could not be built */
  constructor(counts: { readonly gateways: number; readonly nodes: number; readonly clients: number }) {
    this.#bridge.within(() => ip(['link add bridge type bridge', 'link set bridge addrgenmode none up']))
    let index = 0
    const hostsOf = (kind: keyof typeof networks, count: number): readonly LabHost[] => Array.from({ length: count }, (_, each) =>
      new LabHost({ name: `${kind}${each + 1}`, address: `${networks[kind]}.${each + 1}`, index: ++index, bridge: this.#bridge }))
    this.gateways = hostsOf('gateway', counts.gateways)
    this.nodes = hostsOf('node', counts.nodes)
    this.clients = hostsOf('client', counts.clients)
    for (const gateway of this.gateways) gateway.ip(`address add ${placeAddress}/32 dev lo`)
    for (const [index, client] of this.clients.entries()) {
      client.ip(...Array.from({ length: addressesOfClient }, (_, each) => `address add ${sourceOf(index, each)}/16 dev eth0`))
    }
    this.announce(this.gateways)
  }

  /** The place is at these gateways: what routers are told, by whoever looks after it. */
  announce(gateways: readonly LabHost[]): void {
    for (const client of this.clients) client.ip(`route replace ${placeAddress}/32 ${gateways.map(({ address }) => `nexthop via ${address}`).join(' ')}`)
  }

  close(): void {
    for (const host of [...this.gateways, ...this.nodes, ...this.clients]) host.close()
    this.#bridge.close()
  }
}

/** One of the addresses that the client's host has beside its first. */
export function sourceOf(client: number, index: number): string {
  return `198.18.${16 + client}.${1 + (index % addressesOfClient)}`
}

function ip(lines: readonly string[], givenFds: readonly number[] = []): void {
  execFileSync('ip', ['-batch', '-'], { input: lines.join('\n'), timeout: commandTimeoutMs, stdio: ['pipe', 'ignore', 'pipe', ...givenFds] })
}
