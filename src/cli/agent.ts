// `sluice agent`: on a customer's node, until it is told to end.

import { readFileSync } from 'node:fs'
import { dirname, resolve } from 'node:path'
import { parseArgs } from 'node:util'
import { loadAgentConfig, type AgentConfig, type ProxyConfig } from '../config/agent-schema.ts'
import { ConfigError, formatProblems } from '../config/config-error.ts'
import { formatSocketAddress } from '../core/net/socket-address.ts'
import { createLogger, LogLevelError, type Logger } from '../observe/log.ts'
import { Agent, type AgentObserver } from '../tunnel/agent/agent.ts'
import type { HttpProxy } from '../tunnel/agent/http-proxy.ts'
import { NodeKeyError } from '../tunnel/agent/node-key.ts'
import { addAddresses, type AddedAddresses } from './added-addresses.ts'
import type { CliIo } from './io.ts'

export const usage = `Usage: sluice agent --config FILE

Carries the node's connections to its API server: it listens on addresses that kubelet, kube-proxy and pods dial, and takes
what they say through one outbound connection to each gateway. No privilege is needed, but for ports below 1024, and
CAP_NET_ADMIN where an address is to be put on the device lo (forward[].addAddress), which is taken off again at the end.

  --config FILE   the agent's configuration (see config/agent.yaml for an example)

At its first start it makes a key for the node, in state.directory, and enrols it with the join token of token.file. While no
gateway is to be reached it tries again, for ever, and says what it waits for; connections wait with it for five seconds.

Where the node's network lets connections out through an HTTP proxy only, proxy.url names it; HTTPS_PROXY is not looked at.

Signals
  SIGTERM SIGINT  end: connections are reset, so that clients come again at once

Environment
  SLUICE_LOG_LEVEL   trace debug info warn error fatal silent; default info
  SLUICE_…           overrides one value of the file: SLUICE_NODE_NAME=node1

Exit codes: 0 ended by a signal, 1 failure, 2 wrong configuration or arguments.

Example
  sluice token create --config sluice.yaml --tenant acme > join-token     # beside the gateway
  sluice agent --config agent.yaml                                        # on the node
`

export async function agentCommand(args: readonly string[], io: CliIo): Promise<number> {
  const { values } = parseArgs({ args: [...args], options: { config: { type: 'string' } }, strict: true })
  if (values.config === undefined) {
    io.stderr.write(`sluice agent: --config FILE is needed\n\n${usage}`)
    return 2
  }
  try {
    const logger = createLogger({ level: io.env['SLUICE_LOG_LEVEL'] })
    const config = loadAgentConfig({ file: values.config, env: io.env })
    return await run(config, { folder: dirname(values.config), logger })
  } catch (error) {
    if (error instanceof ConfigError) io.stderr.write(formatProblems(error))
    else if (error instanceof LogLevelError || error instanceof NodeKeyError || error instanceof FileError) io.stderr.write(`sluice agent: ${error.message}\n`)
    else throw error
    return error instanceof NodeKeyError ? 1 : 2
  }
}

/** A file that the configuration names can't be read. */
class FileError extends Error {
  readonly code = 'FILE'
}

async function run({ gateways, caFile, tokenFile, stateDirectory, node, forward, proxy }: AgentConfig, { folder, logger }: { readonly folder: string; readonly logger: Logger }): Promise<number> {
  const agent = new Agent({
    gateways, node,
    forward: forward.map(({ listen }) => listen),
    caPem: caFile === undefined ? undefined : readRequired('caFile', resolve(folder, caFile)),
    proxy: proxy === undefined ? undefined : httpProxy(proxy, folder),
    stateDirectory: resolve(folder, stateDirectory),
    token: () => tokenFile === undefined ? undefined : readToken(resolve(folder, tokenFile), logger),
    observer: observer(logger),
  })
  let addresses: AddedAddresses | undefined
  try {
    addresses = await addAddresses(forward, logger)
    const bound = await agent.start()
    logger.info({ node, listening: bound.map(formatSocketAddress), gateways: gateways.map(({ host }) => host) }, 'agent started')
  } catch (error) {
    logger.fatal({ error: error instanceof Error ? error.message : String(error) }, 'not started')
    return 1
  }
  const signal = await new Promise<string>((resolve_) => {
    for (const each of ['SIGTERM', 'SIGINT'] as const) process.once(each, () => resolve_(each))
  })
  logger.info({ signal, connections: agent.connectionCount }, 'agent ends')
  agent.stop()
  addresses.remove()
  return 0
}

function observer(logger: Logger): AgentObserver {
  return {
    linkChanged: ({ gateway, state }) => {
      switch (state.kind) {
        case 'connecting': logger.debug({ gateway }, 'connecting'); break
        case 'up': logger.info({ gateway }, 'session is up'); break
        case 'draining': logger.info({ gateway }, 'the gateway goes: new connections go elsewhere'); break
        case 'waiting': logger.warn({ gateway, why: state.why, retryInMs: Math.round(state.untilMs - performance.now()) }, 'no session'); break
        case 'closed': break
        default: state satisfies never
      }
    },
    linkRefused: ({ gateway }, why) => logger.warn({ gateway, why, ...advice[why.split(' ')[1] ?? ''] }, 'the gateway refused'),
    connectionEnded: (record) => {
      if (record.end === 'refused' || record.end === 'no-session') logger.warn({ ...record }, 'connection reset')
      else logger.debug({ ...record }, 'connection')
    },
  }
}

/** By what the gateway answered. */
const advice: Readonly<Record<string, { readonly advice: string }>> = {
  'node-unknown': { advice: 'the node is not enrolled: put a join token into token.file (sluice token create)' },
  'node-revoked': { advice: 'the node was revoked: remove the agent’s state and enrol it with a new token, if it should be let in again' },
  'name-mismatch': { advice: 'the key was enrolled under another node.name' },
  'token-unknown': { advice: 'the token is not this gateway’s, or was copied wrongly' },
  'token-expired': { advice: 'make a new token (sluice token create)' },
  'token-used-up': { advice: 'make a new token, with --uses for as many nodes as there are' },
  'token-revoked': { advice: 'make a new token (sluice token create)' },
  'malformed': { advice: 'token.file must hold one token and nothing else' },
}

function readRequired(key: string, file: string): string {
  try {
    return readFileSync(file, 'utf8')
  } catch (error) {
    throw new FileError(`${key}: ${error instanceof Error ? error.message : String(error)}`, { cause: error })
  }
}

/** @throws {FileError} */
function httpProxy({ url, credentialsFile, caFile }: ProxyConfig, folder: string): HttpProxy {
  const credentials = (): string | undefined => credentialsFile === undefined ? undefined : readCredentials(resolve(folder, credentialsFile))
  // What is wrong from the start is told at the start; later ones are read at each try.
  credentials()
  return { url, credentials, caPem: caFile === undefined ? undefined : readRequired('proxy.caFile', resolve(folder, caFile)) }
}

/** @throws {FileError} which does not repeat what is in it */
function readCredentials(file: string): string {
  const text = readRequired('proxy.credentialsFile', file).replace(/\r?\n$/, '')
  // RFC 7617 §2: the user has no colon; neither has control characters.
  if (!/^[^:\p{Cc}]+:\P{Cc}*$/u.test(text)) throw new FileError(`proxy.credentialsFile: ${file} must hold one line, USER:PASSWORD, and nothing else`)
  return text
}

/** Once the node is enrolled nobody needs it: it may be gone. */
function readToken(file: string, logger: Logger): string | undefined {
  try {
    return readFileSync(file, 'utf8').trim()
  } catch (error) {
    logger.debug({ error: error instanceof Error ? error.message : String(error) }, 'there is no join token')
    return undefined
  }
}
