// npm run bench:tunnel: from the command line to measurements, tables and an exit code.

import { initialWindowBytes, WindowBudget } from '../../src/core/mux/window.ts'
import { runCommand } from '../command.ts'
import { benchTunnels } from './bench.ts'
import { parseTunnelOptions, type TunnelOptions, tunnelUsage } from './options.ts'
import { allTunnelPeers } from './peers/all.ts'
import { tunnelWorkloads } from './workloads.ts'

const peerNames = allTunnelPeers.map(({ name }) => name)

async function bench(options: TunnelOptions): Promise<number> {
  return await benchTunnels({
    title: 'Tunnels', prefix: 'tunnel-', options,
    peers: allTunnelPeers.filter(({ name }) => options.peers.includes(name)),
    workloads: tunnelWorkloads(options, { initialBytes: initialWindowBytes, growthBytes: new WindowBudget().limitBytes }),
    upstreamAddress: '127.0.0.1',
  })
}

await runCommand({ name: 'bench:tunnel', parse: (args) => parseTunnelOptions(args, peerNames), usage: tunnelUsage(peerNames), run: bench })
