// What is done to the backends, the configuration and the workers while clients are busy: loops that draw a fault, carry it
// through, and rest.

import { setTimeout as delay } from 'node:timers/promises'
import type { BackendProcess } from './backend-process.ts'
import { badFiles } from './gateway-config.ts'
import type { GatewayUnderTest } from './gateway-under-test.ts'
import type { History } from './history.ts'
import { Random } from './random.ts'
import { lastingBackends, narrowBackend, volatileTenants } from './topology.ts'

export type Fault = 'backend killed' | 'backend stopped' | 'reload' | 'bad file' | 'worker crashed'

export interface ChaosOptions {
  readonly seed: number
  readonly gateway: GatewayUnderTest
  readonly backends: readonly BackendProcess[]
  readonly history: History
  readonly seconds: number
  /** Comes when these are over. */
  readonly signal: AbortSignal
}

const backendLoops = 2
const downMs = { min: 50, max: 3_000 }
/** With a backend's own delay (plan.ts) less than `timeouts.answer`. */
const stoppedMs = { min: 50, max: 2_500 }
const restMs = { min: 500, max: 8_000 }
const reloadRestMs = { min: 500, max: 10_000 }
const crashRestMs = { min: 4_000, max: 20_000 }
/** A shorter run rests less, so that there is something of everything. */
const usualSeconds = 60

export class Chaos {
  readonly counts: Record<Fault, number> = { 'backend killed': 0, 'backend stopped': 0, 'reload': 0, 'bad file': 0, 'worker crashed': 0 }
  readonly #options: ChaosOptions
  readonly #busy = new Set<BackendProcess>()
  #absent: ReadonlySet<string> = new Set()

  constructor(options: ChaosOptions) {
    this.#options = options
  }

  /** Resolves once the signal has come, with every backend running and every volatile tenant back. */
  async run(): Promise<void> {
    const { seed, gateway } = this.#options
    const loops = Array.from({ length: backendLoops }, async (_, index) => await this.#loop(new Random(seed, 0xb0 + index), restMs, async (random) => await this.#disturbBackend(random)))
    loops.push(this.#loop(new Random(seed, 0xc0), reloadRestMs, async (random) => await this.#reload(random)))
    if (await gateway.workers() > 0) loops.push(this.#loop(new Random(seed, 0xd0), crashRestMs, async () => await this.#crash()))
    await Promise.all(loops)
    await this.#change(new Set())
  }

  async #loop(random: Random, rest: { readonly min: number; readonly max: number }, disturb: (random: Random) => Promise<void>): Promise<void> {
    const { seconds, signal } = this.#options
    const part = Math.min(1, seconds / usualSeconds)
    while (!signal.aborted) {
      await delay(part * random.size(rest.min, rest.max), undefined, { signal }).catch(() => undefined)
      if (!signal.aborted) await disturb(random)
    }
  }

  async #disturbBackend(random: Random): Promise<void> {
    const { backends } = this.#options
    const kill = random.chance(0.5)
    const backend = random.pick(backends)
    if (this.#busy.has(backend)) return
    this.#busy.add(backend)
    if (kill && backend.index >= lastingBackends && backend.index !== narrowBackend) {
      this.counts['backend killed'] += 1
      await backend.kill()
      await delay(random.size(downMs.min, downMs.max))
      await backend.start()
    } else {
      this.counts['backend stopped'] += 1
      backend.stop()
      await delay(random.size(stoppedMs.min, stoppedMs.max))
      backend.continue()
    }
    this.#busy.delete(backend)
  }

  async #reload(random: Random): Promise<void> {
    if (random.chance(0.3)) {
      this.counts['bad file'] += 1
      await this.#options.gateway.reloadBadly(random.pick(badFiles))
      // The next good one may come any time later.
      if (random.chance(0.5)) return
    }
    this.counts.reload += 1
    await this.#change(new Set(volatileTenants.map(({ name }) => name).filter(() => random.chance(0.4))))
  }

  async #change(absent: ReadonlySet<string>): Promise<void> {
    const { gateway, history } = this.#options
    const changed = volatileTenants.filter(({ name }) => absent.has(name) !== this.#absent.has(name))
    const ends = changed.map(({ name }) => history.tenantChanges(name, !absent.has(name)))
    await gateway.reload(absent)
    this.#absent = absent
    for (const end of ends) end()
  }

  async #crash(): Promise<void> {
    const { gateway, history } = this.#options
    this.counts['worker crashed'] += 1
    const over = history.workerCrashes()
    await gateway.crashWorker()
    over()
  }
}
