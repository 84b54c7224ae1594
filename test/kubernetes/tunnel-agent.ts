// `sluice agent` as a process, on this machine or in a node's: it joins with a token, and is there when it has its sessions.

import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { tokenCommand } from '../../src/cli/token.ts'
import { formatSocketAddress, type SocketAddress } from '../../src/core/net/socket-address.ts'
import type { LabProcess } from '../support/lab-process.ts'

const mainFile = fileURLToPath(new URL('../../src/sluice.js', import.meta.url))
const readyTimeoutMs = 60_000

export interface TunnelAgentOptions {
  /** Of the node. */
  readonly name: string
  /** Has `tunnel-ca.crt`; gets its configuration, and a folder of its own for its key. */
  readonly directory: string
  /** wss://host:port */
  readonly gateways: readonly string[]
  /** @default none is needed: the node is enrolled */
  readonly token?: string
  /** Where the node's own dial. */
  readonly listen: SocketAddress
  /** Whether it puts the address on `lo` first. @default false */
  readonly addAddress?: boolean
  /** Of the node. @default those of its interfaces */
  readonly addresses?: readonly string[]
  /** What its configuration says of the reverse way. @default nothing */
  readonly reverse?: string
  /** Of a node's agents, which has one after the other: for its log. @default 1 */
  readonly turn?: number
  readonly run: (name: string, executable: string, arguments_: readonly string[]) => LabProcess
}

/** As beside the gateway. @returns the token's text */
export async function createToken(gatewayConfig: string, { tenant, uses = 1 }: { readonly tenant: string; readonly uses?: number }): Promise<string> {
  let [token, complaint] = ['', '']
  const code = await tokenCommand(['create', '--config', gatewayConfig, '--tenant', tenant, '--uses', String(uses)], {
    stdout: { write: text => (token += text) },
    stderr: { write: text => (complaint += text) },
    env: {},
  })
  if (code !== 0) throw new Error(`no token (${code}): ${complaint}`)
  return token
}

/** Resolves when there is a session with each gateway. */
export async function startAgent({ name, directory, gateways, token, listen, addAddress = false, addresses, reverse = '', turn = 1, run }: TunnelAgentOptions): Promise<LabProcess> {
  const [configFile, tokenFile] = [join(directory, `agent-${name}.yaml`), `join-token-${name}`]
  if (token !== undefined) await writeFile(join(directory, tokenFile), token, { mode: 0o600 })
  await writeFile(configFile, `gateways: [${gateways.join(', ')}]
caFile: tunnel-ca.crt
${token === undefined ? '' : `token: { file: ${tokenFile} }\n`}state: { directory: agent-${name} }
node: { name: ${name}${addresses === undefined ? '' : `, addresses: [${addresses.join(', ')}]`} }
forward: [{ listen: "${formatSocketAddress(listen)}", addAddress: ${addAddress} }]
${reverse}`)
  const agent = run(`agent-${name}-${turn}`, process.execPath, [mainFile, 'agent', '--config', configFile])
  await agent.waitUntil('has its sessions', readyTimeoutMs, async () =>
    (await agent.logTail()).split('session is up').length > gateways.length)
  return agent
}
