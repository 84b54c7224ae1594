// The demo's tunnel: acme's node, played by `sluice agent` as a process of its own. It enrols with a join token, listens where
// acme's API server is advertised, and carries what comes there through one connection to the gateway.

import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { tokenCommand } from '../token.ts'
import { createCa } from './certificates.ts'
import { DemoError } from './demo-error.ts'
import { loopback, type DemoPorts } from './layout.ts'
import { ServerProcess, withoutOverrides } from './server-process.ts'

const mainFile = fileURLToPath(new URL('../../sluice.js', import.meta.url))
/** Every machine resolves it, so that the agent needs no DNS of ours; its certificate is for this name. */
export const tunnelHostname = 'localhost'
const readyTimeoutMs = 20_000

export interface DemoTunnelOptions {
  readonly directory: string
  readonly ports: DemoPorts
  readonly env: Readonly<Record<string, string | undefined>>
  readonly signal: AbortSignal
}

/** Writes the tunnel's certificate, for `hostname`. @returns what the gateway's configuration says of it */
export async function tunnelConfig(directory: string, hostname = tunnelHostname): Promise<string> {
  const ca = createCa('tunnel CA')
  const { certificatePem, keyPem } = ca.issue({ commonName: hostname, dnsNames: [hostname], usages: ['server'] })
  const files = { 'tunnel.crt': certificatePem, 'tunnel.key': keyPem, 'tunnel-ca.crt': ca.certificatePem }
  await Promise.all(Object.entries(files).map(([name, text]) => writeFile(join(directory, name), text, { mode: 0o600 })))
  return `
tunnel:
  hostnames: [${hostname}]
  certificate: { certFile: tunnel.crt, keyFile: tunnel.key }

state: { kind: file, directory: state }
`
}

/** @param configFile the gateway's: it is running */
export async function startDemoAgent(configFile: string, { directory, ports, env, signal }: DemoTunnelOptions): Promise<ServerProcess> {
  await writeFile(join(directory, 'join-token'), await createToken(configFile), { mode: 0o600 })
  const agentFile = join(directory, 'agent.yaml')
  await writeFile(agentFile, `gateways: [wss://${tunnelHostname}:${ports.gateway}]
caFile: tunnel-ca.crt
token: { file: join-token }
state: { directory: agent-state }
node: { name: node1 }
forward:
  - listen: ${loopback}:${ports.agent}
`, { mode: 0o600 })
  const logFile = join(directory, 'agent.log')
  const agent = new ServerProcess({ name: 'sluice agent', executable: process.execPath, arguments_: [mainFile, 'agent', '--config', agentFile], env: withoutOverrides(env), logFile })
  try {
    await agent.waitUntilReady({ timeoutMs: readyTimeoutMs, signal }, async () => (await readFile(logFile, 'utf8')).includes('session is up'))
  } catch (error) {
    await agent.stop()
    throw error
  }
  return agent
}

async function createToken(configFile: string): Promise<string> {
  let [token, complaint] = ['', '']
  const code = await tokenCommand(['create', '--config', configFile, '--tenant', 'acme'], {
    stdout: { write: (text) => (token += text) }, stderr: { write: (text) => (complaint += text) }, env: {},
  })
  if (code !== 0) throw new DemoError('no-token', complaint)
  return token
}
