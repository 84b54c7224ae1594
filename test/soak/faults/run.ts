// One run: starts everything, lets it go on for its time, brings it to rest, and says what was not as it should be.

import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { cpuSeconds } from '../../../bench/proc.ts'
import { unresponsivePort } from '../../support/unresponsive-port.ts'
import { BackendProcess } from './backend-process.ts'
import { Chaos } from './chaos.ts'
import { ClientsProcess } from './clients-process.ts'
import { GatewayUnderTest, type GatewaySample } from './gateway-under-test.ts'
import { History } from './history.ts'
import { Ledger } from './ledger.ts'
import { reviewLog } from './log-review.ts'
import { openSockets } from './open-sockets.ts'
import type { FaultsReport } from './report.ts'
import { backendCount } from './topology.ts'
import { mebibytes, memoryTrend, notReturned } from './watch.ts'

export interface FaultsOptions {
  readonly seconds: number
  readonly seed: number
  /** New connections a second. */
  readonly rate: number
  /** At one time. */
  readonly connectionsMax: number
  /** Absent: the configuration does not say. */
  readonly driver?: string
  readonly kernelLane?: string
  readonly progress: (line: string) => void
}

const sampleIntervalMs = 2_500
const samplesPerProgress = 4
/** For the clients' connections to end once nothing pauses any more; stuck ones are given up before. */
const clientsEndMsMax = 100_000
/** For the gateway to let go of what has ended: bytes before a RST may take 30 s. */
const settleMsMax = 40_000
const exitMsMax = 15_000
const pollMs = 100

export async function runFaults(options: FaultsOptions): Promise<FaultsReport> {
  const directory = await mkdtemp(join(tmpdir(), 'sluice-faults-'))
  const teardowns: (() => Promise<void> | void)[] = []
  try {
    const report = await new Run(options, directory, teardowns).report()
    if (report.violations.length === 0) await rm(directory, { recursive: true })
    else options.progress(`the gateway’s log is kept in ${directory}`)
    return report
  } catch (error) {
    throw new Error(`the run could not go on; the gateway’s log is kept in ${directory}`, { cause: error })
  } finally {
    for (const teardown of teardowns.toReversed()) await teardown()
  }
}

class Run {
  readonly #options: FaultsOptions
  readonly #directory: string
  readonly #teardowns: (() => Promise<void> | void)[]
  readonly #history = new History()
  readonly #ledger: Ledger
  readonly #samples: GatewaySample[] = []
  readonly #trouble: string[] = []
  readonly #startMs = performance.now()

  constructor(options: FaultsOptions, directory: string, teardowns: (() => Promise<void> | void)[]) {
    this.#options = options
    this.#directory = directory
    this.#teardowns = teardowns
    this.#ledger = new Ledger({
      seed: options.seed, history: this.#history,
      onViolation: ({ id, why }) => options.progress(`connection ${id}: ${why}`),
    })
  }

  async report(): Promise<FaultsReport> {
    const { seconds, seed, rate, connectionsMax, driver, kernelLane } = this.#options
    const [gateway, backends] = await Promise.all([this.#startGateway(), this.#startBackends()])
    // What is needed only once is there after a first reload.
    await gateway.reload(new Set())
    const before = await gateway.sample()
    const clients = new ClientsProcess({ directory: this.#directory, port: gateway.port, seed, rate, connectionsMax, onFacts: (facts) => this.#ledger.client(facts) })
    this.#teardowns.push(() => clients.kill())
    const time = AbortSignal.timeout(seconds * 1_000)
    const chaos = new Chaos({ seconds, seed, gateway, backends, history: this.#history, signal: time })
    const disturbed = chaos.run()
    const watched = this.#watch(gateway, clients, chaos, time)
    await Promise.all([disturbed, watched])
    const after = await this.#settle({ gateway, clients, backends, before })
    const outcomes = await this.#outcomes(gateway, clients, chaos)
    const pauses = await gateway.metric('sluice_backpressure_pauses_total')
    const loadSeconds = backends.reduce((sum, backend) => sum + backend.cpuSeconds, cpuSeconds([process.pid, clients.pid]))
    const cores = { load: this.#perSecond(loadSeconds), gateway: this.#perSecond(cpuSeconds([gateway.pid])) }
    const exitMs = await this.#terminate(gateway)
    const memory = memoryTrend(this.#samples)
    if (memory.violation !== undefined) this.#trouble.push(memory.violation)
    return {
      seed, before, after, outcomes, pauses, memory, cores, exitMs,
      driver: `${driver ?? 'by default'}${kernelLane === undefined ? '' : `, kernel lane ${kernelLane}`}`,
      seconds: (performance.now() - this.#startMs) / 1_000,
      connections: this.#ledger.connections,
      verdicts: this.#ledger.verdicts,
      comparedBytes: this.#ledger.comparedBytes,
      faults: chaos.counts,
      openMax: Math.max(0, ...this.#samples.map(({ openConnections }) => openConnections)),
      descriptorsMax: Math.max(0, ...this.#samples.map(({ descriptors }) => descriptors)),
      violations: await this.#violations(gateway.logPath),
    }
  }

  #perSecond(seconds: number): number {
    return seconds / ((performance.now() - this.#startMs) / 1_000)
  }

  async #startGateway(): Promise<GatewayUnderTest> {
    const unresponsive = await unresponsivePort({ teardown: (run) => void this.#teardowns.push(run) })
    const gateway = await GatewayUnderTest.start({ directory: this.#directory, driver: this.#options.driver, kernelLane: this.#options.kernelLane, unresponsiveEndpoint: `127.0.0.1:${unresponsive}` })
    this.#teardowns.push(async () => await gateway.kill())
    return gateway
  }

  async #startBackends(): Promise<readonly BackendProcess[]> {
    const backends = Array.from({ length: backendCount }, (_, index) => new BackendProcess({
      index, directory: this.#directory, history: this.#history,
      onMessage: (message) => {
        if (message.from === 'backend') this.#ledger.backend(message)
      },
      onUnexpectedExit: (why) => this.#trouble.push(why),
    }))
    this.#teardowns.push(async () => void await Promise.all(backends.map(async (backend) => await backend.kill())))
    await Promise.all(backends.map(async (backend) => await backend.start()))
    return backends
  }

  async #watch(gateway: GatewayUnderTest, clients: ClientsProcess, { counts }: Chaos, time: AbortSignal): Promise<void> {
    while (!time.aborted) {
      const sample = await gateway.sample()
      this.#samples.push(sample)
      this.#ledger.review()
      if (this.#samples.length % samplesPerProgress === 0) {
        const faults = Object.values(counts).reduce((sum, count) => sum + count, 0)
        const { connections, comparedBytes, verdicts } = this.#ledger
        this.#options.progress([
          `${Math.round((performance.now() - this.#startMs) / 1_000)} s`, `${connections} connections ended, ${sample.openConnections} open`,
          `${verdicts.whole ?? 0} whole, ${verdicts.wrong ?? 0} wrong`, `${mebibytes(comparedBytes)} compared`, `${faults} faults`,
          `${sample.descriptors} descriptors, ${sample.threads} threads, PSS ${mebibytes(sample.pssBytes)}`,
        ].join(' · '))
      }
      clients.askStatus()
      if (clients.state === 'gone') throw new Error('the clients’ process has ended')
      await delay(sampleIntervalMs, undefined, { signal: time }).catch(() => undefined)
    }
  }

  /** Everything ends; what does not is a violation. */
  async #settle({ gateway, clients, backends, before }: { readonly gateway: GatewayUnderTest; readonly clients: ClientsProcess; readonly backends: readonly BackendProcess[]; readonly before: GatewaySample }): Promise<GatewaySample> {
    for (const backend of backends) backend.hurry()
    clients.finish()
    await this.#until(clientsEndMsMax, () => clients.state === 'running' ? `${clients.open} clients have not ended` : undefined)
    let sample = await gateway.sample()
    await this.#until(settleMsMax, async () => {
      this.#ledger.review()
      sample = await gateway.sample()
      const open = backends.reduce((sum, { openConnections }) => sum + openConnections, 0)
      const { waiting } = this.#ledger
      const kept = notReturned(before, sample)
      return (kept === undefined ? undefined : [kept, ...openSockets(gateway.pid)].join('\n'))
        ?? (open > 0 ? `backends have ${open} connections open` : undefined)
        ?? (waiting.length > 0 ? `backends did not report connections ${waiting.slice(0, 10).join(' ')}` : undefined)
    })
    return sample
  }

  /** Waits until there is nothing to say; what is left to say in the end is a violation. */
  async #until(timeoutMs: number, ask: () => string | undefined | Promise<string | undefined>): Promise<void> {
    const endMs = performance.now() + timeoutMs
    for (;;) {
      const why = await ask()
      if (why === undefined) return
      if (performance.now() > endMs) {
        this.#trouble.push(`after ${timeoutMs} ms ${why}`)
        return
      }
      await delay(pollMs)
    }
  }

  async #outcomes(gateway: GatewayUnderTest, clients: ClientsProcess, { counts }: Chaos): Promise<Record<string, number>> {
    const outcomes: Record<string, number> = {}
    for (const outcome of ['completed', 'aborted', 'refused', 'failed']) {
      outcomes[outcome] = await gateway.metric(`sluice_connections_total{listener="127.0.0.1:${gateway.port}",outcome="${outcome}"}`)
    }
    const total = Object.values(outcomes).reduce((sum, count) => sum + count, 0)
    if (total > clients.started) this.#trouble.push(`the gateway counted ${total} connections where ${clients.started} were made`)
    const { whole = 0 } = this.#ledger.verdicts
    if (counts['worker crashed'] === 0 && (outcomes['completed'] ?? 0) < whole) this.#trouble.push(`the gateway counted ${outcomes['completed']} completed connections where ${whole} were whole`)
    return outcomes
  }

  async #terminate(gateway: GatewayUnderTest): Promise<number> {
    const startMs = performance.now()
    try {
      const { code, signal } = await gateway.terminate(exitMsMax)
      if (code !== 0) this.#trouble.push(`after SIGTERM the gateway ended with ${signal ?? code}`)
    } catch (error) {
      // The rest is the end of the log, which is kept.
      this.#trouble.push(String(error).split('\n', 1).join(''))
    }
    return performance.now() - startMs
  }

  async #violations(logPath: string): Promise<readonly string[]> {
    const { violations, verdicts } = this.#ledger
    const ports = new Set(violations.map(({ localPort }) => localPort).filter((port) => port !== undefined))
    const { trouble, troubleCount, connections } = await reviewLog(logPath, ports)
    const untold = (verdicts.wrong ?? 0) - violations.length
    return [
      ...this.#trouble,
      ...violations.map(({ id, why, localPort }) => `connection ${id}: ${why}\n${connections.get(localPort ?? 0) ?? ''}`.trimEnd()),
      ...(untold > 0 ? [`${untold} more`] : []),
      ...(troubleCount > 0 ? [`the gateway's log has ${troubleCount} lines of trouble:\n${trouble.join('\n')}`] : []),
    ]
  }
}
