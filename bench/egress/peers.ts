// The two that are compared: Sluice's egress, and Konnectivity, which kube-apiserver is made for.

import { join } from 'node:path'
import { agentLaunch, gatewayLaunch, ownVersion, tenant } from '../tunnel/peers/sluice.ts'
import { konnectivity } from '../tunnel/peers/konnectivity.ts'
import type { TunnelFacts, TunnelLaunch, TunnelPeer } from '../tunnel/peers/tunnel-peer.ts'
import { blackHole } from './network.ts'

/** Whatever the system chooses for the backends. */
const backendPorts = '1024-65535'

const sluice: TunnelPeer = {
  name: 'sluice',
  settings: '`egress: [{ tenant, socket }]`, one agent with `reverse: { allow, announce }`, every other setting at its default',
  find: () => ({ version: ownVersion(), launch }),
}

function launch(facts: TunnelFacts): TunnelLaunch {
  const socket = join(facts.serverDirectory, 'entry.sock')
  return {
    connectProxy: socket,
    server: gatewayLaunch(facts, `egress: [{ tenant: ${tenant}, socket: ${socket} }]\n`),
    client: () => agentLaunch(facts, `node: { name: node1, addresses: [${facts.upstreamAddress}] }
reverse:
  allow: [{ node: true, ports: [${backendPorts}] }, { cidr: ${blackHole.network}, ports: [${blackHole.port}] }]
  announce: [${blackHole.network}]
`),
  }
}

export const egressPeers: readonly TunnelPeer[] = [sluice, konnectivity]
