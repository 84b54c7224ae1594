// A segment of Ethernet: a bridge, and hosts on it, each with a MAC address and a table of neighbours of its own.
//
//   nodes 198.18.1.* ── veth ──┐
//   API servers 198.18.2.* ────┤ bridge, in a namespace of its own; nftables count what comes in and what goes out
//   gateway 198.18.0.1 ────────┘
//
// The gateway's host is the namespace that the bench runs in; addresses are of the range for benchmarks (RFC 2544). Entries expire
// as by Linux's defaults, but six times sooner, as far as a namespace may say so.

import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { networkInterfaces } from 'node:os'
import { setTimeout as delay } from 'node:timers/promises'
import { NetworkNamespace } from './namespace.ts'

const commandTimeoutMs = 30_000
/** The system looks at links that have come up once a second. */
const forwardingTimeoutMs = 10_000
const forwardingPollMs = 50
/** Of each kind: an octet has no more. */
export const hostsMax = 250
export const gatewayAddress = '198.18.0.1'
const gatewayDevice = 'bridged'
/** Of `ip`, which is given descriptors behind its standard streams. */
const firstGivenFd = 3

/** A sixth of the defaults: 30 s, 60 s, 5 s. */
export const expiry = { baseReachableMs: 5_000, staleMs: 10_000, delayProbeMs: 833 } as const

const counters = `table bridge arp_count {
  counter broadcasts { }
  counter copies { }
  counter probes { }
  chain in {
    type filter hook prerouting priority 0
    ether daddr ff:ff:ff:ff:ff:ff arp operation request counter name broadcasts
    ether daddr != ff:ff:ff:ff:ff:ff arp operation request counter name probes
  }
  chain out {
    type filter hook postrouting priority 0
    ether daddr ff:ff:ff:ff:ff:ff arp operation request counter name copies
  }
}
`

export interface Host {
  readonly address: string
  readonly namespace: NetworkNamespace
}

/** Counters since the segment was built, and entries whose MAC address is known, now. */
export interface SegmentReading {
  /** ARP requests to all. */
  readonly broadcasts: number
  /** Frames that the bridge has made of them, one for each other host. */
  readonly copies: number
  /** ARP requests to one host, which confirm an entry. */
  readonly probes: number
  /** Of the node that has the most. */
  readonly nodeEntries: number
  /** Of the API server that has the most. */
  readonly apiServerEntries: number
  readonly gatewayEntries: number
  /** Of all hosts together. */
  readonly entries: number
}

/** One table for all namespaces of a machine, which none but the first can set. */
export interface TableLimits {
  /** Below it nothing is swept. */
  readonly thresh1: number
  /** Above it entries are dropped that nobody would drop on machines of their own. */
  readonly thresh2: number
  readonly sweepMs: number
}

export class Segment {
  readonly nodes: readonly Host[]
  readonly apiServers: readonly Host[]
  readonly #bridge: NetworkNamespace

  private constructor(bridge: NetworkNamespace, nodes: readonly Host[], apiServers: readonly Host[]) {
    this.#bridge = bridge
    this.nodes = nodes
    this.apiServers = apiServers
  }

  /**
   * Resolves when every host hears every other.
   * @throws an error that says what failed
   */
  static async build(hosts: { readonly nodes: number, readonly apiServers: number }): Promise<Segment> {
    const bridge = new NetworkNamespace()
    const [nodes, apiServers] = [hostsOf('198.18.1', hosts.nodes), hostsOf('198.18.2', hosts.apiServers)]
    const all = [...nodes, ...apiServers]
    const segment = new Segment(bridge, nodes, apiServers)
    try {
      ip(['link set lo up', `link add ${gatewayDevice} type veth peer name gateway netns /proc/self/fd/${firstGivenFd}`, ...deviceUp(gatewayDevice, gatewayAddress)], [bridge.fd])
      bridge.within(() => {
        ip([
          'link add bridge type bridge', 'link set bridge addrgenmode none up', 'link set gateway master bridge addrgenmode none up',
          ...all.flatMap((_host, index) => [`link add host${index} type veth peer name eth0 netns /proc/self/fd/${firstGivenFd + index}`, `link set host${index} master bridge addrgenmode none up`]),
        ], all.map(({ namespace }) => namespace.fd))
        nft(['--file', '-'], counters)
      })
      for (const { namespace, address } of all) namespace.within(() => ip(['link set lo up', ...deviceUp('eth0', address)]))
      const deadlineMs = performance.now() + forwardingTimeoutMs
      for (let waiting = segment.#notForwarding(); waiting.length > 0; waiting = segment.#notForwarding()) {
        if (performance.now() > deadlineMs) throw new Error(`these ports of the bridge forward nothing after ${forwardingTimeoutMs / 1000} s: ${waiting.join(', ')}`)
        await delay(forwardingPollMs)
      }
      return segment
    } catch (error) {
      segment.close()
      throw error
    }
  }

  read(): SegmentReading {
    const [nodes, apiServers] = [this.nodes, this.apiServers].map((hosts) => hosts.map(({ namespace }) => namespace.within(entriesHere)))
    const gatewayEntries = entriesHere()
    const { nftables }: { nftables: readonly { readonly counter?: { readonly name: string, readonly packets: number } }[] } = JSON.parse(this.#bridge.within(() => nft(['--json', 'list', 'counters'])))
    const packetsOf = (wanted: string): number => {
      const packets = nftables.find(({ counter }) => counter?.name === wanted)?.counter?.packets
      if (packets === undefined) throw new Error(`nft list counters: there is no ${wanted}`)
      return packets
    }
    return {
      broadcasts: packetsOf('broadcasts'), copies: packetsOf('copies'), probes: packetsOf('probes'),
      nodeEntries: Math.max(...nodes ?? []), apiServerEntries: Math.max(...apiServers ?? []), gatewayEntries,
      entries: [...nodes ?? [], ...apiServers ?? [], gatewayEntries].reduce((sum, each) => sum + each, 0),
    }
  }

  #notForwarding(): readonly string[] {
    const ports: readonly { readonly ifname: string, readonly linkinfo: { readonly info_slave_data: { readonly state: string } } }[]
      = JSON.parse(this.#bridge.within(() => command('ip', ['-json', '-details', 'link', 'show', 'master', 'bridge'])))
    return ports.filter(({ linkinfo }) => linkinfo.info_slave_data.state !== 'forwarding').map(({ ifname }) => ifname)
  }

  /** Sockets in there must be closed already. */
  close(): void {
    // The next one has a device of that name; by itself the system takes a while.
    if (networkInterfaces()[gatewayDevice] !== undefined) ip([`link delete ${gatewayDevice}`])
    for (const { namespace } of [...this.nodes, ...this.apiServers]) namespace.close()
    this.#bridge.close()
  }
}

/** @throws an error that says what is missing */
export function assertOwnNetwork(): void {
  if (Object.keys(networkInterfaces()).length > 0) throw new Error('it takes a network of its own: npm run bench:neighbours, which is unshare --map-root-user --net node bench/neighbours/main.ts')
}

export function readTableLimits(): TableLimits {
  const text = command('ip', ['ntable', 'show', 'name', 'arp_cache'])
  const valueOf = (name: string): number => {
    const value = new RegExp(String.raw`\b${name} (\d+)`).exec(text)?.[1]
    if (value === undefined) throw new Error(`ip ntable: there is no ${name} in ${JSON.stringify(text)}`)
    return Number(value)
  }
  // neigh_periodic_work in the kernel's net/core/neighbour.c.
  return { thresh1: valueOf('thresh1'), thresh2: valueOf('thresh2'), sweepMs: valueOf('base_reachable') / 2 }
}

function hostsOf(network: string, count: number): readonly Host[] {
  return Array.from({ length: count }, (_, index) => ({ address: `${network}.${index + 1}`, namespace: new NetworkNamespace() }))
}

/** Without IPv6, which has broadcasts and neighbours of its own. */
function deviceUp(device: string, address: string): readonly string[] {
  const { baseReachableMs, staleMs, delayProbeMs } = expiry
  return [
    `address add ${address}/16 dev ${device}`,
    `ntable change name arp_cache dev ${device} base_reachable ${baseReachableMs} gc_stale ${staleMs} delay_probe ${delayProbeMs}`,
    `link set ${device} addrgenmode none up`,
  ]
}

/** A line an entry behind one line of titles; flag 2 (ATF_COM, <linux/if_arp.h>): its MAC address is known. */
function entriesHere(): number {
  return readFileSync('/proc/thread-self/net/arp', 'utf8').trimEnd().split('\n').slice(1).filter((line) => (Number(line.split(/\s+/)[2]) & 2) !== 0).length
}

function ip(lines: readonly string[], givenFds: readonly number[] = []): void {
  command('ip', ['-batch', '-'], { input: lines.join('\n'), givenFds })
}

function nft(arguments_: readonly string[], input = ''): string {
  return command('nft', arguments_, { input })
}

/** In the namespace where this thread is. */
function command(executable: string, arguments_: readonly string[], { input = '', givenFds = [] }: { readonly input?: string, readonly givenFds?: readonly number[] } = {}): string {
  return execFileSync(executable, arguments_, { encoding: 'utf8', input, timeout: commandTimeoutMs, stdio: ['pipe', 'pipe', 'pipe', ...givenFds] })
}
