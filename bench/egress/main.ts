// npm run bench:egress: from the command line to measurements, tables and an exit code.

import { runCommand, tell } from '../command.ts'
import { benchTunnels } from '../tunnel/bench.ts'
import { makeNetwork, nodeAddress } from './network.ts'
import { type EgressOptions, egressUsage, parseEgressOptions } from './options.ts'
import { egressPeers } from './peers.ts'
import { egressWorkloads } from './workloads.ts'

const peerNames = egressPeers.map(({ name }) => name)

async function bench(options: EgressOptions): Promise<number> {
  try {
    makeNetwork()
  } catch (error) {
    tell(`bench:egress: ${error instanceof Error ? error.message : String(error)}`)
    return 1
  }
  return await benchTunnels({ title: 'Egress', prefix: 'egress-', options, peers: egressPeers.filter(({ name }) => options.peers.includes(name)), workloads: egressWorkloads(options), upstreamAddress: nodeAddress })
}

await runCommand({ name: 'bench:egress', parse: (args) => parseEgressOptions(args, peerNames), usage: egressUsage(peerNames), run: bench })
