// The network that the bench of the egress runs in, a namespace of its own: a node's address, which must not be loopback for an agent
// to announce it, and a black hole. Both are of the range for benchmarks (RFC 2544).
//
//   lo      127.0.0.1, 198.18.0.1        the node: backends listen here
//   hole    198.18.1.1/24                198.18.1.2 has a neighbour's address that nobody has: a SYN to it is never answered

import { execFileSync } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { networkInterfaces } from 'node:os'

export const nodeAddress = '198.18.0.1'
export const blackHole = { network: '198.18.1.0/24', address: '198.18.1.2', port: 10_250 } as const

const commands = [
  'link set lo up',
  `address add ${nodeAddress}/32 dev lo`,
  'link add hole type veth peer name hole-end',
  'link set hole up',
  'link set hole-end up',
  'address add 198.18.1.1/24 dev hole',
  `neighbour add ${blackHole.address} lladdr 02:00:00:00:00:02 dev hole nud permanent`,
]

/**
 * Ports of ended connections are free again after a second, as they are on 127.0.0.1 by default: for a minute, and with some ten thousand
 * connections ended, connect(2) would look for a free one longer than all else takes.
 */
const reuse = ['/proc/sys/net/ipv4/tcp_tw_reuse', '1'] as const

/**
 * Makes it, where there is nothing yet.
 * @throws an error that says what is missing
 */
export function makeNetwork(): void {
  if (Object.keys(networkInterfaces()).length > 0) throw new Error('it takes a network of its own: npm run bench:egress, which is unshare --map-root-user --net node bench/egress/main.ts')
  for (const command of commands) execFileSync('ip', command.split(' '))
  writeFileSync(...reuse)
}
