// Sluice as it is in this work tree, run by the Node that runs the bench.

import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { Launch, Peer, PeerFacts } from './peer.ts'

const mainFile = fileURLToPath(new URL('../../src/sluice.js', import.meta.url))
const manifestFile = new URL('../../package.json', import.meta.url)

export const sluice: Peer = {
  name: 'sluice',
  settings: '`relay: { workers: 1 }`, every other setting at its default',
  find: () => {
    const { version }: { version: string } = JSON.parse(readFileSync(manifestFile, 'utf8'))
    return { version, launch: (facts) => sluiceLaunch(facts) }
  },
}

/** @param listenAddress where others than this machine can reach it */
export function sluiceLaunch(facts: Omit<PeerFacts, 'connectionsMax'>, listenAddress = '127.0.0.1'): Launch {
  return {
    executable: process.execPath,
    arguments_: [mainFile, 'gateway', '--config', join(facts.directory, 'sluice.yaml')],
    // On SIGTERM it would drain.
    stopSignal: 'SIGKILL',
    files: { 'sluice.yaml': render(facts, listenAddress) },
    readyUrl: `http://127.0.0.1:${facts.adminPort}/readyz`,
  }
}

function render({ listenPort, adminPort, routes, limits: { connectionsPerSecond, perSourcePerSecond } = {} }: Omit<PeerFacts, 'connectionsMax'>, listenAddress: string): string {
  return `listeners:
  - address: ${listenAddress}:${listenPort}
${perSourcePerSecond === undefined ? '' : `    limits: { connectionsPerSourcePerSecond: ${perSourcePerSecond} }\n`}${connectionsPerSecond === undefined ? '' : `defaults: { limits: { processConnectionsPerSecond: ${connectionsPerSecond} } }\n`}tenants:
${routes.map(({ serverName, endpoint }, index) => `  - name: tenant-${index}
    hostnames: [${serverName}]
    apiServer: { endpoints: ["${endpoint}"] }`).join('\n')}
relay: { workers: 1 }
admin: { address: 127.0.0.1:${adminPort} }
`
}
