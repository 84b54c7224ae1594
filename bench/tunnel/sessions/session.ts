// Many agents' sessions on one gateway:
//
//   gateway ready: memory │ agents enrol, some a second │ all up: memory │ at rest: CPU │ SIGKILL, started again │ all up again

import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { RelayProcess } from '../../peers/relay-process.ts'
import { cpuSeconds, processTree, pssBytes } from '../../proc.ts'
import { freePort } from '../../free-port.ts'
import { inWorkFolder } from '../../work-folder.ts'
import { createJoinToken, gatewayLaunch, type GatewayFacts } from '../peers/sluice.ts'
import { issueCertificate } from '../session.ts'
import { added, AgentProcesses } from './agent-processes.ts'
import type { AgentsReport } from './agents-protocol.ts'
import { sessionsBegun, sessionsIn } from './gateway-log.ts'
import type { SessionsOptions } from './options.ts'
import { mostInASecond } from './rate.ts'

/** Of a join token: the most that there is. */
const usesMax = 1_000
const pollMs = 100

export interface Storm {
  /** From when it began until all sessions were up. */
  readonly allUpMs: number
  /** From when it began until the gateway was ready; 0 where it was. */
  readonly readyMs: number
  /** As the gateway has let them in. */
  readonly sessionsInASecondMax: number
  readonly attemptsInASecondMax: number
  readonly attempts: number
  readonly refusals: Readonly<Record<string, number>>
  /** Why agents had to wait, refusals among it. */
  readonly waits: Readonly<Record<string, number>>
}

export interface SessionsResult {
  readonly enrolment: Storm
  readonly emptyMib: number
  readonly fullMib: number
  readonly kibPerSession: number
  readonly restCpuPercent: number
  readonly agentsKibPerSession: number
  readonly restart: Storm
  readonly afterRestartMib: number
}

/** @throws an error that says what failed */
export async function measureSessions(options: SessionsOptions, progress: (line: string) => void): Promise<SessionsResult> {
  return await inWorkFolder(async (directory) => await measureIn(directory, options, progress))
}

async function measureIn(directory: string, options: SessionsOptions, progress: (line: string) => void): Promise<SessionsResult> {
  const { facts, start } = await prepareGateway(directory, options)
  let gateway = await start()
  const agents = new AgentProcesses(options.processes)
  const watch = new Watch(agents, options, progress)
  try {
    const tokens: string[] = []
    while (tokens.length * usesMax < options.sessions) tokens.push(await createJoinToken(facts.serverDirectory, usesMax))
    const names = Array.from({ length: options.sessions }, (_, index) => `node-${index}`)
    const [emptyBytes, agentsEmptyBytes] = [memoryOf([gateway.pid]), memoryOf(agents.pids)]
    const startMs = performance.now()
    agents.start({
      gateway: `wss://localhost:${facts.linkPort}`, caPem: facts.certificate.caPem, names,
      tokens: names.map((_name, index) => tokens[Math.floor(index / usesMax)] ?? ''), perSecond: options.enrolPerSecond,
    })
    const enrolment = await watch.untilAllUp(startMs, { gateway, begunBefore: 0 })
    progress(`all are up; at rest for ${options.restMs / 1000} s`)
    const restCpuPercent = await restCpu(gateway.pid, options.restMs)
    const [fullBytes, agentsFullBytes] = [memoryOf([gateway.pid]), memoryOf(agents.pids)]
    await watch.take()
    const kibPerSession = (fullBytes - emptyBytes) / 1024 / options.sessions
    progress(`${kibPerSession.toFixed(1)} KiB a session, ${restCpuPercent.toFixed(1)} % of a core; SIGKILL`)
    const killedMs = performance.now()
    await gateway.stop()
    const begunBefore = sessionsIn(gateway.logFile).length
    gateway = await start()
    const readyMs = performance.now() - killedMs
    const restart = { ...await watch.untilAllUp(killedMs, { gateway, begunBefore }), readyMs }
    return {
      enrolment, restart, restCpuPercent,
      emptyMib: emptyBytes / 1024 ** 2, fullMib: fullBytes / 1024 ** 2, afterRestartMib: memoryOf([gateway.pid]) / 1024 ** 2,
      kibPerSession,
      agentsKibPerSession: (agentsFullBytes - agentsEmptyBytes) / 1024 / options.sessions,
    }
  } finally {
    agents.stop()
    await gateway.stop()
  }
}

async function prepareGateway(directory: string, { handshakesPerSecond }: SessionsOptions): Promise<{ readonly facts: GatewayFacts, readonly start: () => Promise<RelayProcess> }> {
  const serverDirectory = join(directory, 'gateway')
  mkdirSync(serverDirectory)
  const facts: GatewayFacts = { serverDirectory, linkPort: await freePort(), upstreamPort: await freePort(), otherPorts: [await freePort()], certificate: issueCertificate(), handshakesPerSecond }
  // On the same ports and the same state, however often.
  return { facts, start: async () => await RelayProcess.start('sluice gateway', gatewayLaunch(facts), { directory: serverDirectory }) }
}

function memoryOf(pids: readonly number[]): number {
  const bytes = pssBytes(pids.flatMap(processTree))
  if (bytes === undefined) throw new Error('the memory of a process can not be read')
  return bytes
}

async function restCpu(pid: number, restMs: number): Promise<number> {
  const pids = processTree(pid)
  const [startMs, startSeconds] = [performance.now(), cpuSeconds(pids)]
  await delay(restMs)
  return (cpuSeconds(pids) - startSeconds) / ((performance.now() - startMs) / 1000) * 100
}

class Watch {
  readonly #agents: AgentProcesses
  readonly #options: SessionsOptions
  readonly #progress: (line: string) => void

  constructor(agents: AgentProcesses, options: SessionsOptions, progress: (line: string) => void) {
    this.#agents = agents
    this.#options = options
    this.#progress = progress
  }

  async take(): Promise<AgentsReport> {
    return await this.#agents.report()
  }

  /** @param begunBefore sessions, of the gateway before this one */
  async untilAllUp(startMs: number, { gateway, begunBefore }: { readonly gateway: RelayProcess, readonly begunBefore: number }): Promise<Storm> {
    const { sessions, timeoutMs } = this.#options
    const reports: AgentsReport[] = []
    let toldMs = startMs
    for (;;) {
      const report = await this.take()
      reports.push(report)
      const nowMs = performance.now()
      if (report.up === sessions) return concludeStorm(reports, startMs, await sessionsBegun(gateway.logFile, { skipped: begunBefore, sessions }))
      if (gateway.ending !== undefined) throw new Error(`the gateway ended by itself: ${gateway.ending}`)
      if (nowMs - startMs > timeoutMs) throw new Error(`${report.up} of ${sessions} sessions are up after ${timeoutMs / 1000} s; ${JSON.stringify(added(reports.map(({ waits }) => waits)))}`)
      if (nowMs - toldMs > 2_000) {
        toldMs = nowMs
        this.#progress(`${((nowMs - startMs) / 1000).toFixed(0).padStart(4)} s  ${report.up} up`)
      }
      await delay(pollMs)
    }
  }
}

function concludeStorm(reports: readonly AgentsReport[], startMs: number, begunMs: readonly number[]): Storm {
  const [upsMs, attemptsMs] = [reports.flatMap((report) => report.upsMs), reports.flatMap((report) => report.attemptsMs)]
  return {
    allUpMs: upsMs.reduce((last, each) => Math.max(last, each), 0) - performance.timeOrigin - startMs,
    readyMs: 0,
    sessionsInASecondMax: mostInASecond(begunMs),
    attemptsInASecondMax: mostInASecond(attemptsMs),
    attempts: attemptsMs.length,
    refusals: added(reports.map(({ refusals }) => refusals)),
    waits: added(reports.map(({ waits }) => waits)),
  }
}
