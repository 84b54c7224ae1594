// `sluice agent`: on a customer's node, until it is told to end.

import { readFileSync } from 'node:fs'
import { dirname, resolve } from 'node:path'
import { parseArgs } from 'node:util'
import { loadAgentConfig, type AgentConfig } from '../config/agent-schema.ts'
import { ConfigError, formatProblems } from '../config/config-error.ts'
import { formatSocketAddress } from '../core/net/socket-address.ts'
import type { AgentObserver } from '../core/tunnel/agent-observer.ts'
import { createLogger, LogLevelError, type Logger } from '../observe/log.ts'
import { AgentLog } from '../observe/agent-log.ts'
import { programVersion } from '../observe/program-version.ts'
import { PeerWatch } from '../relay/node/peer-watch.ts'
import { Agent } from '../tunnel/agent/agent.ts'
import { NodeKeyError } from '../tunnel/agent/node-key.ts'
import { addAddresses, type AddedAddresses } from './agent/added-addresses.ts'
import type { AgentAdmin } from './agent/admin.ts'
import { clientCertificate, FileError, httpProxy, readRequired } from './agent/files.ts'
import type { CliIo } from './io.ts'

export const usage = `Usage: sluice agent --config FILE
       sluice agent status [--config FILE | --admin ADDRESS:PORT] [--json]

Carries the node's connections to its API server: it listens on addresses that kubelet, kube-proxy and pods dial, and takes
what they say through one outbound connection to each gateway. No privilege is needed, but for ports below 1024, and
CAP_NET_ADMIN where an address is to be put on the device lo (forward[].addAddress), which is taken off again at the end.

  --config FILE   the agent's configuration (see config/agent.yaml for an example)

status asks the agent that runs here, at its admin.address (by default 127.0.0.1:9444), for its sessions and listeners, and what
it waits for; it exits with 1 while no session is up. --json prints the answer as it came.

At its first start it makes a key for the node, in state.directory, and enrols it with the join token of token.file; with
certificate: { certFile, keyFile } it needs neither, and reads both files anew at each try. While no
gateway is to be reached it tries again, for ever, and says what it waits for; connections wait with it for five seconds.

Where the node's network lets connections out through an HTTP proxy only, proxy.url names it; HTTPS_PROXY is not looked at.

Signals
  SIGTERM SIGINT  end: connections are reset, so that clients come again at once

Environment
  SLUICE_LOG_LEVEL   trace debug info warn error fatal silent; default info
  SLUICE_…           overrides one value of the file: SLUICE_NODE_NAME=node1

Exit codes: 0 ended by a signal, or a session is up; 1 failure, or none is up; 2 wrong configuration or arguments.

Example
  sluice token create --config sluice.yaml --tenant acme > join-token     # beside the gateway
  sluice agent --config agent.yaml                                        # on the node
  sluice agent status                                                     # beside it
`

export async function agentCommand(args: readonly string[], io: CliIo): Promise<number> {
  if (args[0] === 'status') {
    const { agentStatusCommand } = await import('./agent/status.ts')
    return await agentStatusCommand(args.slice(1), { io, usage })
  }
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

interface Place {
  /** That relative paths begin at. */
  readonly folder: string
  readonly logger: Logger
}

async function run(config: AgentConfig, { folder, logger }: Place): Promise<number> {
  const { gateways, sessions, caFile, tokenFile, certificate, stateDirectory, node, addresses, reverse, forward, proxy } = config
  const observers: AgentObserver[] = [new AgentLog(logger)]
  const peers = new PeerWatch()
  const agent = new Agent({
    gateways, sessions, node, addresses, reverse,
    watchPeer: (socket) => peers.watch(socket),
    forward,
    createLaneRelay: async (events) => await (await import('./agent/lane-relay.ts')).createLaneRelay(events, logger),
    caPem: caFile === undefined ? undefined : readRequired('caFile', resolve(folder, caFile)),
    proxy: proxy === undefined ? undefined : httpProxy(proxy, folder),
    stateDirectory: resolve(folder, stateDirectory),
    certificate: certificate === undefined ? undefined : clientCertificate(certificate, folder),
    token: () => tokenFile === undefined ? undefined : readToken(resolve(folder, tokenFile), logger),
    observer: {
      linkChanged: (link) => observers.forEach((each) => each.linkChanged(link)),
      linkRefused: (link, why) => observers.forEach((each) => each.linkRefused(link, why)),
      announcementsRefused: (link) => observers.forEach((each) => each.announcementsRefused(link)),
      connectionEnded: (record) => observers.forEach((each) => each.connectionEnded(record)),
      reverseEnded: (record) => observers.forEach((each) => each.reverseEnded(record)),
    },
    failed: (error, context) => logger.error({ error: error instanceof Error ? error.message : String(error) }, context),
  })
  const admin = await adminOf(config, agent, logger)
  if (admin !== undefined) observers.push(admin.observer)
  // From here on: what has been added by then must be taken off.
  const signalled = new Promise<string>((resolve_) => {
    for (const each of ['SIGTERM', 'SIGINT'] as const) process.once(each, () => resolve_(each))
  })
  let added: AddedAddresses | undefined
  try {
    const adminAddress = await admin?.listen()
    added = await addAddresses(forward, logger)
    const bound = await agent.start()
    logger.info({ node, listening: bound.map(formatSocketAddress), gateways: gateways.map(({ host }) => host), ...(adminAddress === undefined ? {} : { admin: formatSocketAddress(adminAddress) }) }, 'agent started')
  } catch (error) {
    logger.fatal({ error: error instanceof Error ? error.message : String(error) }, 'not started')
    await admin?.close()
    return 1
  }
  logger.info({ signal: await signalled, connections: agent.connectionCount }, 'agent ends')
  await agent.stop()
  added.remove()
  await admin?.close()
  return 0
}

async function adminOf({ admin, node, proxy }: AgentConfig, agent: Agent, logger: Logger): Promise<AgentAdmin | undefined> {
  if (admin === undefined) return undefined
  const { createAgentAdmin } = await import('./agent/admin.ts')
  const facts = { node, version: programVersion(), startedAtMs: performance.now(), proxy: proxy?.url.host }
  return createAgentAdmin({ address: admin.address, logger, facts: () => ({ ...facts, links: agent.links, forwards: agent.forwards, reverse: agent.reverse }) })
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
