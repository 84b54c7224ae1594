// Sluice as it is in this work tree, run by the Node that runs the bench.

import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { Launch, Peer, PeerFacts } from './peer.ts'

const mainFile = fileURLToPath(new URL('../../src/sluice.js', import.meta.url))
const manifestFile = new URL('../../package.json', import.meta.url)

export const sluice: Peer = sluicePeer('sluice', 'workers: 1', 'every other setting at its default')
/** With the kernel lane, where it is to be had: docs/kernel-lane.md. */
export const sluiceLane: Peer = sluicePeer('sluice-lane', 'workers: 1, kernelLane: auto', 'every other setting at its default')
export const sluiceLaneAlways: Peer = sluicePeer('sluice-lane-always', 'workers: 1, kernelLane: always', 'for comparison: nobody is left out where it would not pay')
/** Polls before it sleeps: docs/kernel-lane.md#busy-polling. */
export const sluiceBusy: Peer = sluicePeer('sluice-busy', 'workers: 1, busyPoll: 50us', 'every other setting at its default')

function sluicePeer(name: string, relay: string, more: string): Peer {
  return {
    name,
    settings: `\`relay: { ${relay} }\`, ${more}`,
    find: () => {
      const { version }: { version: string } = JSON.parse(readFileSync(manifestFile, 'utf8'))
      return { version, launch: (facts) => sluiceLaunch(facts, { relay }) }
    },
  }
}

/** @param options `listenAddress`: where others than this machine can reach it; `relay`: its settings */
export function sluiceLaunch(facts: Omit<PeerFacts, 'connectionsMax'>, { listenAddress = '127.0.0.1', relay = 'workers: 1' } = {}): Launch {
  return {
    executable: process.execPath,
    arguments_: [mainFile, 'gateway', '--config', join(facts.directory, 'sluice.yaml')],
    // On SIGTERM it would drain.
    stopSignal: 'SIGKILL',
    files: { 'sluice.yaml': render(facts, listenAddress, relay) },
    readyUrl: `http://127.0.0.1:${facts.adminPort}/readyz`,
  }
}

/** No peer checks its endpoints here, and a check would count as a connection. */
function render({ listenPort, adminPort, routes, limits: { connectionsPerSecond, perSourcePerSecond, excess } = {} }: Omit<PeerFacts, 'connectionsMax'>, listenAddress: string, relay: string): string {
  return `listeners:
  - address: ${listenAddress}:${listenPort}
${perSourcePerSecond === undefined ? '' : `    limits: { connectionsPerSourcePerSecond: ${perSourcePerSecond}${excess === undefined ? '' : `, connectionsPerSourceExcess: ${excess}`} }\n`}defaults: { health: { kind: none }, limits: { ${connectionsPerSecond === undefined ? '' : `processConnectionsPerSecond: ${connectionsPerSecond}`} } }
tenants:
${routes.map(({ serverName, endpoint }, index) => `  - name: tenant-${index}
    hostnames: [${serverName}]
    apiServer: { endpoints: ["${endpoint}"] }`).join('\n')}
relay: { ${relay} }
admin: { address: 127.0.0.1:${adminPort} }
`
}
