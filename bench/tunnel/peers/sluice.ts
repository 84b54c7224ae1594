// Sluice's tunnel as it is in this work tree: `sluice gateway` and `sluice agent`, run by the Node that runs the bench.

import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { tokenCommand } from '../../../src/cli/token.ts'
import type { Launch } from '../../peers/peer.ts'
import type { TunnelFacts, TunnelPeer } from './tunnel-peer.ts'

const mainFile = fileURLToPath(new URL('../../../src/sluice.js', import.meta.url))
const manifestFile = new URL('../../../package.json', import.meta.url)
export const tenant = 'bench'
/** The default, written out. */
const handshakesPerSecondDefault = 200

export interface SluicePeerOptions {
  /** `sluice`, or `sluice-VARIANT` for another way to forward. */
  readonly name: string
  readonly settings: string
  /** Further keys of the agent's forward entry, as YAML: `lane: direct`. */
  readonly forward?: readonly string[]
}

export interface GatewayFacts extends Pick<TunnelFacts, 'serverDirectory' | 'linkPort' | 'upstreamPort' | 'certificate' | 'otherPorts'> {
  readonly handshakesPerSecond?: number
}

export function sluicePeer({ name, settings, forward = [] }: SluicePeerOptions): TunnelPeer {
  return {
    name, settings,
    find: () => ({
      version: ownVersion(),
      launch: (facts) => ({ server: gatewayLaunch(facts), client: () => agentLaunch(facts, forward.map((key) => `    ${key}\n`).join('')) }),
    }),
  }
}

export function ownVersion(): string {
  const { version }: { version: string } = JSON.parse(readFileSync(manifestFile, 'utf8'))
  return version
}

/**
 * Ready when its admin address says so.
 * @param more YAML of its configuration, whole lines
 */
export function gatewayLaunch({ serverDirectory, linkPort, upstreamPort, certificate, otherPorts: [adminPort], handshakesPerSecond = handshakesPerSecondDefault }: GatewayFacts, more = ''): Launch {
  return {
    executable: process.execPath,
    arguments_: [mainFile, 'gateway', '--config', join(serverDirectory, 'sluice.yaml')],
    files: {
      'link.crt': certificate.certificatePem,
      'link.key': certificate.keyPem,
      'sluice.yaml': `listeners:
  - address: 127.0.0.1:${linkPort}
defaults: { health: { kind: none } }
tenants:
  - name: ${tenant}
    hostnames: [${tenant}.example]
    apiServer: { endpoints: ["127.0.0.1:${upstreamPort}"] }
tunnel:
  hostnames: [localhost]
  certificate: { certFile: link.crt, keyFile: link.key }
  handshakesPerSecond: ${handshakesPerSecond}
state: { directory: state }
relay: { workers: 1 }
admin: { address: 127.0.0.1:${adminPort} }
${more}`,
    },
    // On SIGTERM it would drain.
    stopSignal: 'SIGKILL',
    readyUrl: `http://127.0.0.1:${adminPort}/readyz`,
  }
}

/** @param more YAML behind its configuration, whose last key is the one entry of `forward` */
export async function agentLaunch({ serverDirectory, clientDirectory, dialPort, entryPort, certificate }: TunnelFacts, more: string): Promise<Launch> {
  return {
    executable: process.execPath,
    arguments_: [mainFile, 'agent', '--config', join(clientDirectory, 'agent.yaml')],
    files: {
      'ca.crt': certificate.caPem,
      'join-token': await createJoinToken(serverDirectory),
      'agent.yaml': `gateways: ["wss://localhost:${dialPort}"]
caFile: ca.crt
token: { file: join-token }
state: { directory: state }
forward:
  - listen: 127.0.0.1:${entryPort}
${more}`,
    },
    stopSignal: 'SIGKILL',
  }
}

/**
 * @param serverDirectory the gateway's, which has its configuration
 * @param uses how many nodes may enrol with it
 */
export async function createJoinToken(serverDirectory: string, uses = 1): Promise<string> {
  let [token, complaint] = ['', '']
  const code = await tokenCommand(['create', '--config', join(serverDirectory, 'sluice.yaml'), '--tenant', tenant, '--uses', String(uses)], {
    stdout: { write: (text) => (token += text) }, stderr: { write: (text) => (complaint += text) }, env: {},
  })
  if (code !== 0) throw new Error(`sluice token create: ${complaint}`)
  return token.trim()
}
