// `sluice demo`: three tenants' API servers, a gateway and live traffic, on loopback, without root, gone when it ends.
//
//   clients (this process) ──TLS, SNI──▶ sluice gateway (a process of its own) ──▶ acme │ globex │ initech
//                                          127.0.0.1:6443                          simulated, or kube-apiserver

import { mkdtemp, realpath, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import { call } from './demo/client.ts'
import { DemoError } from './demo/demo-error.ts'
import { DemoGateway } from './demo/gateway.ts'
import { findKubernetesBinaries, startControlPlanes } from './demo/kubernetes.ts'
import { assertPortsFree, demoConfig, demoPorts, loopback, portCount, tenantNames, type DemoPorts, type TenantName } from './demo/layout.ts'
import { commandsToTry, storyLine, summaryLine, tableHead } from './demo/report.ts'
import { SimulatedApiServer } from './demo/simulated-api-server.ts'
import { Heartbeat, tellStory, tellTunnelStory } from './demo/story.ts'
import { createTenant, type Tenant } from './demo/tenant.ts'
import { startDemoAgent, tunnelConfig } from './demo/tunnel.ts'
import type { CliIo } from './io.ts'

const trafficIntervalMs = 1_000
/** Where the live line can't be drawn over, it is printed this often. */
const plainSummaryEvery = 10

export const usage = `Usage: sluice demo [--once] [--tunnel] [--kubernetes] [--ports FIRST]

Starts three tenants' HTTPS API servers and the gateway on 127.0.0.1, sends live traffic through it, prints what came of
it, and stays up until Ctrl-C. Needs no root and leaves nothing behind.

  --once           end after the story: exit code 0 when all came out as it should, else 1
  --tunnel         an agent too, as on a customer's node: it reaches acme's API server by address, through the gateway
  --kubernetes     real control planes: etcd and kube-apiserver from PATH (they need some 20 s to start)
  --ports FIRST    ${portCount} ports in a row, instead of 6443, 9443, 31443 to 31446 and 16443

Example
  sluice demo
`

type Tenants = Readonly<Record<TenantName, Tenant>>

interface DemoOptions {
  readonly once: boolean
  readonly kubernetes: boolean
  readonly tunnel: boolean
  readonly ports: DemoPorts
}

export async function demo(args: readonly string[], io: CliIo): Promise<number> {
  const options = parseOptions(args)
  if (options === undefined) {
    io.stderr.write(`sluice demo: --ports takes a port from 1024 to ${65_536 - portCount}\n\n${usage}`)
    return 2
  }
  const interrupted = new AbortController()
  const interrupt = (): void => {
    // A second time: leave at once. Children and files go with the process, or with the next line.
    if (interrupted.signal.aborted) process.exit(130)
    interrupted.abort()
  }
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, interrupt)
  try {
    return await withCleanup(cleanup => run(options, { io, signal: interrupted.signal, cleanup }))
  } catch (error) {
    if (interrupted.signal.aborted && error instanceof Error && error.name === 'AbortError') return 0
    if (!(error instanceof DemoError)) throw error
    io.stderr.write(`sluice demo: ${error.message}\n`)
    return 1
  } finally {
    for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.off(signal, interrupt)
  }
}

function parseOptions(args: readonly string[]): DemoOptions | undefined {
  const { values } = parseArgs({
    args: [...args],
    options: { once: { type: 'boolean' }, kubernetes: { type: 'boolean' }, tunnel: { type: 'boolean' }, ports: { type: 'string' } },
    strict: true,
  })
  const first = values.ports === undefined ? undefined : Number(values.ports)
  if (first !== undefined && (!Number.isInteger(first) || first < 1024 || first > 65_536 - portCount)) return undefined
  return { once: values.once === true, kubernetes: values.kubernetes === true, tunnel: values.tunnel === true, ports: demoPorts(first) }
}

type Cleanup = (undo: () => Promise<unknown>) => void

/** Undoes what was done, last first, however it ends. */
async function withCleanup<T>(work: (cleanup: Cleanup) => Promise<T>): Promise<T> {
  const undos: (() => Promise<unknown>)[] = []
  try {
    return await work(undo => undos.push(undo))
  } finally {
    for (const undo of undos.toReversed()) await undo()
  }
}

interface RunContext {
  readonly io: CliIo
  readonly signal: AbortSignal
  readonly cleanup: Cleanup
}

async function run({ once, kubernetes, tunnel, ports }: DemoOptions, { io, signal, cleanup }: RunContext): Promise<number> {
  const binaries = kubernetes ? await findKubernetesBinaries(io.env) : undefined
  await assertPortsFree(ports)
  // 0700, as mkdtemp makes it: keys are in there.
  const directory = await realpath(await mkdtemp(join(tmpdir(), 'sluice-demo-')))
  cleanup(() => rm(directory, { recursive: true, force: true }))
  const create = async (name: TenantName): Promise<Tenant> =>
    await createTenant({ name, port: ports[name], gatewayPort: ports.gateway, directory })
  const tenants: Tenants = { acme: await create('acme'), globex: await create('globex'), initech: await create('initech') }
  const all = Object.values(tenants)

  io.stdout.write(`Starting ${binaries === undefined ? 'three simulated' : 'etcd and three real'} API servers: ${tenantNames.join(', ')} …\n`)
  if (binaries === undefined) {
    for (const tenant of all) {
      const server = await SimulatedApiServer.start(tenant)
      cleanup(() => server.stop())
    }
  } else {
    const planes = await startControlPlanes({ binaries, tenants: all, directory, env: io.env, signal })
    cleanup(() => planes.stop())
  }

  const config = await demoConfig(ports) + (tunnel ? await tunnelConfig(directory) : '')
  const gateway = await DemoGateway.start({ directory, config, ports, env: io.env, signal })
  cleanup(async () => {
    const ending = await gateway.stop()
    io.stdout.write(`The gateway has ended: ${ending === 'exit code 0' ? 'drained, exit code 0' : ending}.\n`)
  })
  io.stdout.write(`Gateway ready on 127.0.0.1:${ports.gateway}, admin on 127.0.0.1:${ports.admin}.\n\n`)

  const heartbeat = await Heartbeat.start({ gatewayPort: ports.gateway, serverName: tenants.acme.hostname, trusted: all, client: tenants.acme })
  cleanup(() => heartbeat.stop())
  io.stdout.write(tableHead())
  let asExpected = true
  for await (const event of tellStory({ gateway, tenants, heartbeat, signal })) {
    signal.throwIfAborted()
    io.stdout.write(storyLine(event))
    asExpected &&= event.kind === 'chapter' || (event.kind === 'step' ? event.step.asExpected : event.asExpected)
  }
  if (tunnel) {
    const agent = await startDemoAgent(gateway.configFile, { directory, ports, env: io.env, signal })
    cleanup(() => agent.stop())
    io.stdout.write(storyLine({ kind: 'chapter', text: `A node of acme's, whose agent listens on ${loopback}:${ports.agent} and has enrolled with a join token` }))
    for await (const event of tellTunnelStory({ agentPort: ports.agent, tenants })) {
      io.stdout.write(storyLine(event))
      asExpected &&= event.kind !== 'step' || event.step.asExpected
    }
  }
  if (once) return asExpected ? 0 : 1
  io.stdout.write(`${commandsToTry({ gateway, tenants: all, directory, agentPort: tunnel ? ports.agent : undefined })}\nCtrl-C ends it.\n\n`)
  return await stayUp({ gateway, tenants: all, heartbeat, io, signal })
}

/** Until the signal, or until the gateway ends by itself. @returns the exit code */
async function stayUp({ gateway, tenants, heartbeat, io, signal }: {
  gateway: DemoGateway
  tenants: readonly Tenant[]
  heartbeat: Heartbeat
  io: CliIo
  signal: AbortSignal
}): Promise<number> {
  const startedMs = performance.now()
  const redrawn = io.stdout === process.stdout && process.stdout.isTTY
  let requests = 0
  let wrong = 0
  for (let round = 0; !signal.aborted && gateway.ending === undefined; round += 1) {
    const exchanges = await Promise.all(tenants.map(({ hostname }) =>
      call({ gatewayPort: gateway.port, serverName: hostname, trusted: tenants, path: '/version' })))
    for (const [index, { outcome }] of exchanges.entries()) {
      requests += 1
      if (outcome.kind !== 'answered' || outcome.signedBy !== tenants[index]?.caName) wrong += 1
    }
    const { beats, fault, watch: { events } } = heartbeat
    // Undefined while the gateway ends: the loop's condition sees that next.
    const snapshot = await gateway.snapshotVersion().catch(() => undefined)
    if (snapshot !== undefined && (redrawn || round % plainSummaryEvery === 0)) {
      const line = summaryLine({ upMs: performance.now() - startedMs, requests, wrong, beats, events, fault, snapshot })
      // A line that wraps can't be drawn over.
      io.stdout.write(redrawn ? `\r\u001B[2K${line.slice(0, process.stdout.columns - 1)}` : `${line}\n`)
    }
    await delay(trafficIntervalMs, undefined, { signal }).catch(() => undefined)
  }
  io.stdout.write('\n')
  if (signal.aborted) return 0
  io.stderr.write(`sluice demo: the gateway has ended by itself (${gateway.ending}); its log was ${gateway.logFile}\n`)
  return 1
}
