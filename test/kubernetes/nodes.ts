// `npm run test:kubernetes:nodes`: do nodes stay ready while gateways are killed? One of the two is, every minute, in turn.
//
//   --minutes 10   how long
//   --nodes 60     hollow kubelets
//   --agents 20    agents, each with its share of the kubelets
//
// Exit codes: 0 no node was ever not ready, 1 one was, or the test could not be made, 2 wrong arguments. That a node can
// become not ready at all is seen first, on one more whose kubelet is killed.

import { setTimeout as delay } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import { fleetBinaries, labBinaries } from './binaries.ts'
import { startFleet, type Fleet } from './fleet.ts'
import { cannotRunNodes } from './node.ts'
import { NodeHealth } from './node-health.ts'

const lookIntervalMs = 2_000
const reportIntervalMs = 30_000
const killIntervalMs = 60_000
const firstKillAfterMs = 20_000
const backAfterMs = 5_000
const readyTimeoutMs = 300_000
const settleMs = 20_000
const controlName = 'control'
/** The controller's grace period is 50 s, and it looks every 5 s. */
const controlTimeoutMs = 120_000

interface Outcome {
  readonly kills: number
  readonly controlSeconds: number
  readonly health: NodeHealth
  readonly deaths: readonly string[]
}

const startedMs = Date.now()
const say = (line: string): void => void process.stdout.write(`${String(Math.round((Date.now() - startedMs) / 1000)).padStart(5)} s  ${line}\n`)

async function main(): Promise<number> {
  const { values } = parseArgs({ options: { minutes: { type: 'string', default: '10' }, nodes: { type: 'string', default: '60' }, agents: { type: 'string', default: '20' } } })
  const [minutes, nodes, agents] = [Number(values.minutes), Number(values.nodes), Number(values.agents)]
  if (!(minutes > 0 && minutes <= 1_440) || !(Number.isInteger(nodes) && nodes > 0 && nodes <= 500) || !(Number.isInteger(agents) && agents > 0 && agents <= nodes)) {
    process.stderr.write('expected --minutes up to 1440, --nodes up to 500, --agents up to as many as nodes\n')
    return 2
  }
  const why = cannotRunNodes()
  if (why !== undefined) {
    process.stderr.write(`not run: ${why}\n`)
    return 1
  }
  const fleet = await startFleet({ ...await labBinaries(say), ...await fleetBinaries(say) }, { nodes, agents, report: say })
  try {
    const { kills, controlSeconds, health, deaths } = await watch(fleet, { minutes, nodes })
    const gaps = health.leaseGapsMs.toSorted((one, other) => one - other)
    const seconds = (share: number): string => ((gaps[Math.min(gaps.length - 1, Math.floor(share * gaps.length))] ?? 0) / 1_000).toFixed(1)
    process.stdout.write(`
| nodes | agents | minutes | kills | NotReady seen | control NotReady after | renewals | lease gap median | p99 | max |
|---|---|---|---|---|---|---|---|---|---|
| ${nodes} | ${agents} | ${minutes} | ${kills} | ${health.notReady.length} | ${controlSeconds} s | ${gaps.length} | ${seconds(0.5)} s | ${seconds(0.99)} s | ${seconds(1)} s |
`)
    for (const each of [...health.notReady, ...deaths]) process.stdout.write(`fault: ${each}\n`)
    return health.notReady.length + deaths.length === 0 ? 0 : 1
  } catch (error) {
    process.stderr.write(`${await fleet.logTails()}\n`)
    throw error
  } finally {
    await fleet.stop()
  }
}

async function watch(fleet: Fleet, { minutes, nodes }: { readonly minutes: number; readonly nodes: number }): Promise<Outcome> {
  const deaths: string[] = []
  for (const each of [...fleet.kubelets.values(), ...fleet.agents, fleet.controllerManager]) {
    void each.exited.then(status => deaths.push(`${each.name} ended with ${JSON.stringify(status)}`))
  }
  const health = new NodeHealth(fleet.server)
  await until(`${nodes} nodes are ready`, readyTimeoutMs, async () => {
    await health.look()
    return health.readyCount === nodes
  })
  say(`${nodes} nodes are ready`)
  const ignored = new Set([controlName])
  await fleet.addNode(controlName)
  await until('the control node is ready', readyTimeoutMs, async () => await health.condition(controlName) === 'True')
  // A kubelet writes its first conditions from what it remembers, more than once.
  await delay(settleMs)
  fleet.killNode(controlName)
  const controlKilledMs = Date.now()
  let controlSeconds = 0
  const control = until('the control node is not ready', controlTimeoutMs, async () => {
    controlSeconds = Math.round((Date.now() - controlKilledMs) / 1_000)
    return await health.condition(controlName) === 'Unknown'
  })
  health.restart()
  await health.look(ignored)

  const beginMs = Date.now()
  const endMs = beginMs + minutes * 60_000
  let kills = 0
  const killing = (async () => {
    for (let atMs = beginMs + firstKillAfterMs; atMs + backAfterMs < endMs; atMs += killIntervalMs) {
      await delay(Math.max(0, atMs - Date.now()))
      const gateway = fleet.gateways[kills % fleet.gateways.length]
      await gateway?.kill()
      kills += 1
      await delay(backAfterMs)
      await gateway?.start()
    }
  })()
  let reportAtMs = beginMs + reportIntervalMs
  const looking = (async () => {
    while (Date.now() < endMs) {
      await health.look(ignored)
      if (Date.now() >= reportAtMs) {
        reportAtMs += reportIntervalMs
        const sessions = await Promise.all(fleet.gateways.map(async gateway => await gateway.metric('sluice_tunnel_sessions').catch(() => 'down')))
        say(`ready ${health.readyCount}/${nodes}; kills ${kills}; oldest lease ${(health.oldestLeaseMs() / 1_000).toFixed(1)} s; sessions ${sessions.join(' and ')}; NotReady seen ${health.notReady.length}`)
      }
      await delay(lookIntervalMs)
    }
  })()
  await Promise.all([killing, looking, control])
  return { kills, controlSeconds, health, deaths: deaths.filter(death => !death.startsWith(`${controlName} `)) }
}

async function until(what: string, timeoutMs: number, ask: () => Promise<boolean>): Promise<void> {
  const deadlineMs = Date.now() + timeoutMs
  while (!await ask()) {
    if (Date.now() > deadlineMs) throw new Error(`not within ${timeoutMs} ms: ${what}`)
    await delay(lookIntervalMs)
  }
}

process.exitCode = await main()
