// Traefik, https://traefik.io: its TCP router and proxy in a program of ours, which `npm run bench:traefik` builds.

import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { findExecutable, type Installation, type Launch, type Peer, type PeerFacts } from './peer.ts'
import { buildCommand, failureOf, traefikBuild } from './traefik/build.ts'

export const traefik: Peer = {
  name: 'traefik',
  settings: '`GOMAXPROCS=1`, `HostSNI`, `passthrough: true`; its TCP router has no access log',
  // It sorts its list of rules for each one that it adds.
  hostnamesMax: 20_000,
  find: () => findTraefik(),
}

/** @param folder where it has been built to, if not into .cache/ */
export function findTraefik(folder?: string): Installation | string {
  const build = traefikBuild(folder)
  const { version, executable } = build
  if (existsSync(executable)) return { version, launch: (facts) => launch(executable, facts) }
  const failure = failureOf(build)
  if (failure !== undefined) return `${buildCommand} has failed: ${failure}`
  return findExecutable('go') === undefined ? `not built, and there is no Go for ${buildCommand}` : `not built: ${buildCommand}`
}

function launch(executable: string, facts: PeerFacts): Launch {
  return {
    executable,
    arguments_: [join(facts.directory, 'traefik.yaml')],
    // Traefik's way to have threads counted.
    environment: { GOMAXPROCS: '1' },
    stopSignal: 'SIGTERM',
    files: { 'traefik.yaml': render(facts) },
  }
}

function render({ listenPort, routes }: PeerFacts): string {
  return `entryPoints:
  edge: { address: "127.0.0.1:${listenPort}" }
tcp:
  routers:
${routes.map(({ serverName }, index) => `    tenant-${index}:
      entryPoints: [edge]
      rule: HostSNI(\`${serverName}\`)
      service: tenant-${index}
      tls: { passthrough: true }`).join('\n')}
  services:
${routes.map(({ endpoint }, index) => `    tenant-${index}: { loadBalancer: { servers: [{ address: "${endpoint}" }] } }`).join('\n')}
`
}
