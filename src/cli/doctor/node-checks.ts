// The checks of the node itself. Nothing is changed: no directory, key or address is made.

import { constants } from 'node:fs'
import { access, readFile, stat } from 'node:fs/promises'
import { createServer } from 'node:net'
import { networkInterfaces } from 'node:os'
import { once } from 'node:events'
import { dirname, resolve } from 'node:path'
import type { AgentConfig, ForwardConfig } from '../../config/agent-schema.ts'
import { codeOf } from '../../core/error-code.ts'
import { formatSocketAddress, type SocketAddress } from '../../core/net/socket-address.ts'
import type { Credentials } from '../../tunnel/agent/credentials.ts'
import { findNodeKey, nodeKeyFile, type NodeKey } from '../../tunnel/agent/node-key.ts'
import { statusFrom } from '../agent/status.ts'
import { checkCertificate } from './certificate-check.ts'
import { forwardVerdict, stateVerdict, tokenVerdict } from './node-verdicts.ts'
import type { Check } from './verdict.ts'

export interface NodeState {
  readonly checks: readonly Check[]
  /** undefined: the node has none yet, or none that can be used. */
  readonly credentials: Credentials | undefined
  /** A join token is there. */
  readonly hasToken: boolean
}

/** Of what shows who the node is. */
export async function checkState(config: AgentConfig, folder: string): Promise<NodeState> {
  const { stateDirectory, tokenFile, certificate, node } = config
  if (certificate !== undefined) {
    const { check, credentials } = await checkCertificate(certificate, { folder, node })
    return { checks: [check], credentials, hasToken: false }
  }
  const directory = resolve(folder, stateDirectory)
  const mode = await modeOf(directory)
  const above = mode === undefined ? await nearestDirectory(directory) : directory
  const file = nodeKeyFile(directory)
  const keyMode = await modeOf(file)
  let key: NodeKey | undefined
  let fault: string | undefined
  try {
    key = findNodeKey(directory)
  } catch (error) {
    fault = messageOf(error)
  }
  const state = stateVerdict({
    directory,
    place: mode === undefined ? { kind: 'absent', above } : { kind: 'present', mode },
    isWritable: await access(above, constants.W_OK).then(() => true, () => false),
    key: keyMode === undefined && fault === undefined ? undefined : { file, mode: keyMode ?? 0, fault },
  })
  const token = tokenFile === undefined ? undefined : await readFile(resolve(folder, tokenFile), 'utf8').then((text) => ({ file: tokenFile, text: text.trim() }), (error: unknown) => ({ fault: messageOf(error) }))
  const tokens = tokenVerdict({ token, hasKey: key !== undefined })
  return {
    checks: [{ name: 'state', verdict: state }, { name: 'token', verdict: tokens }],
    credentials: key === undefined ? undefined : { kind: 'key', key, token: () => undefined },
    hasToken: token !== undefined && 'text' in token && tokens.kind === 'ok',
  }
}

async function modeOf(file: string): Promise<number | undefined> {
  return await stat(file).then(({ mode }) => mode, () => undefined)
}

async function nearestDirectory(directory: string): Promise<string> {
  const above = dirname(directory)
  return above === directory || await modeOf(above) !== undefined ? above : await nearestDirectory(above)
}

export async function* checkForwards({ forward, admin }: AgentConfig): AsyncGenerator<Check> {
  const running = admin === undefined ? undefined : await statusFrom(admin.address).catch(() => undefined)
  const canAdd = await hasNetAdmin()
  for (const { listen, addAddress } of forward) yield { name: 'forward', verdict: await verdictOf({ listen, addAddress }, { canAdd, agents: running?.forwards.map(({ address }) => address) ?? [] }) }
}

async function verdictOf({ listen, addAddress }: Omit<ForwardConfig, 'lane'>, { canAdd, agents }: { readonly canAdd: boolean; readonly agents: readonly string[] }): Promise<ReturnType<typeof forwardVerdict>> {
  const address = formatSocketAddress(listen)
  return forwardVerdict({ address, host: listen.address, addAddress, canAdd, isOnNode: isOnNode(listen.address), isAgents: agents.includes(address), bindFault: await bindFaultOf(listen) })
}

/** As Linux has it, every address of 127.0.0.0/8 is the node's. */
function isOnNode(host: string): boolean {
  if (host === '0.0.0.0' || host === '::' || host.startsWith('127.')) return true
  return Object.values(networkInterfaces()).some((entries) => entries?.some(({ address }) => address === host))
}

async function bindFaultOf({ address, port }: SocketAddress): Promise<string | undefined> {
  const server = createServer()
  try {
    server.listen({ host: address, port })
    await once(server, 'listening')
    return undefined
  } catch (error) {
    return codeOf(error) ?? messageOf(error)
  } finally {
    server.close()
  }
}

/** <linux/capability.h>; the effective set in hex, in proc_pid_status(5). */
const CAP_NET_ADMIN = 12n

async function hasNetAdmin(): Promise<boolean> {
  const status = await readFile('/proc/self/status', 'utf8').catch(() => '')
  const effective = /^CapEff:\s*([0-9a-f]+)$/m.exec(status)?.[1]
  return effective !== undefined && (BigInt(`0x${effective}`) >> CAP_NET_ADMIN & 1n) === 1n
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}
