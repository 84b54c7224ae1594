// One of a pool's nodes dies, before a gateway with many tenants: how soon none of its endpoints gets a connection any more,
// what clients notice, and what the gateway's checks cost it while nothing happens.

import { connect } from 'node:net'
import { setTimeout as delay } from 'node:timers/promises'
import { captureClientHello } from '../load/client-hello.ts'
import { RelayProcess } from '../peers/relay-process.ts'
import { sluice } from '../peers/sluice.ts'
import { cpuSeconds, processTree } from '../proc.ts'
import { freePort } from '../free-port.ts'
import { inWorkFolder } from '../work-folder.ts'
import { Child } from './child.ts'
import type { ListenersAnswer } from './listeners.ts'
import type { HealthOptions } from './options.ts'

/** Clients at one time, each with another tenant, one connection after the other. */
const clientsMax = 8
const pauseMs = 20
const pollMs = 25
const settleMsMax = 120_000

export interface NodeDeath {
  readonly hasClients: boolean
  /** Until each tenant's endpoint there is down. */
  readonly downMs: number
  /** Dials that went there before. */
  readonly failedDials: number
  readonly clientsFailed: number
  readonly slowestMs: number
  /** While nothing happened and no client came, of a core; the whole gateway. */
  readonly idleCore: number
}

export async function measureNodeDeath(options: HealthOptions, hasClients: boolean, tell: (line: string) => void): Promise<NodeDeath> {
  return await inWorkFolder(async (directory) => await measureIn(directory, options, hasClients, tell))
}

async function measureIn(directory: string, { nodes, ports: portCount, tenants, seconds, intervalMs }: HealthOptions, hasClients: boolean, tell: (line: string) => void): Promise<NodeDeath> {
  const listeners = new Child('listeners.ts')
  const addresses = Array.from({ length: nodes }, (_, index) => `127.0.1.${index + 1}`)
  const { ports } = await listeners.ask<ListenersAnswer>({ kind: 'listen', addresses, ports: portCount })
  const installation = sluice.find()
  if (typeof installation === 'string') throw new Error(installation)
  const facts = { directory, listenPort: await freePort(), adminPort: await freePort(), connectionsMax: 1_000, routes: [] }
  const launch = installation.launch(facts)
  tell(`a gateway of ${tenants} tenants on ${nodes} nodes`)
  const relay = await RelayProcess.start(sluice.name, { ...launch, files: { ...launch.files, 'sluice.yaml': configOf({ ...facts, addresses, ports, tenants, intervalMs }) } }, facts)
  const clients = new Clients(facts.listenPort)
  try {
    await until(async () => await metric(facts.adminPort, 'sluice_endpoint_checks_total{kind="tcp",result="passed"}') >= nodes * portCount)
    await delay(intervalMs)
    const cpuBefore = cpuSeconds(processTree(relay.pid))
    await delay(seconds * 1_000)
    const idleCore = (cpuSeconds(processTree(relay.pid)) - cpuBefore) / seconds
    if (hasClients) await clients.start(tenants)
    await delay(hasClients ? 2_000 : 0)
    const failedBefore = await metric(facts.adminPort, 'sluice_dial_failures_total')
    await listeners.ask({ kind: 'go', address: addresses[1] ?? '' })
    const goneMs = performance.now()
    clients.slowestMs = 0
    await until(async () => await metric(facts.adminPort, 'sluice_endpoints{state="down"}') === tenants)
    const downMs = performance.now() - goneMs
    await delay(500)
    const failedDials = await metric(facts.adminPort, 'sluice_dial_failures_total') - failedBefore
    return { hasClients, downMs, failedDials, clientsFailed: clients.failed, slowestMs: clients.slowestMs, idleCore }
  } finally {
    clients.stop()
    await relay.stop()
    listeners.stop()
  }
}

interface ConfigFacts {
  readonly listenPort: number
  readonly adminPort: number
  readonly addresses: readonly string[]
  readonly ports: readonly number[]
  readonly tenants: number
  readonly intervalMs: number
}

function configOf({ listenPort, adminPort, addresses, ports, tenants, intervalMs }: ConfigFacts): string {
  return `listeners: [{ address: 127.0.0.1:${listenPort} }]
admin: { address: 127.0.0.1:${adminPort} }
pools: { admin: { addresses: [${addresses.join(', ')}] } }
defaults: { timeouts: { drainGrace: 0s }, health: { interval: ${intervalMs}ms } }
tenants:
${Array.from({ length: tenants }, (_, index) => `  - { name: t${index}, hostnames: [${nameOf(index)}], apiServer: { pool: admin, nodePort: ${ports[index % ports.length]} } }`).join('\n')}
`
}

function nameOf(tenant: number): string {
  return `t${tenant}.bench.test`
}

async function metric(port: number, name: string): Promise<number> {
  const text = await (await fetch(`http://127.0.0.1:${port}/metrics`)).text()
  return Number(text.split('\n').find((line) => line.startsWith(`${name} `))?.slice(name.length + 1) ?? Number.NaN)
}

async function until(holds: () => Promise<boolean>): Promise<void> {
  const endMs = performance.now() + settleMsMax
  while (!await holds()) {
    if (performance.now() > endMs) throw new Error(`not within ${settleMsMax} ms`)
    await delay(pollMs)
  }
}

/** Each connects, sends its hello, has it back and leaves, again and again. */
class Clients {
  readonly #port: number
  #stopped = false
  failed = 0
  slowestMs = 0

  constructor(port: number) {
    this.#port = port
  }

  async start(tenants: number): Promise<void> {
    for (let client = 0; client < clientsMax; client++) void this.#run(await captureClientHello(nameOf(Math.floor(client * tenants / clientsMax))))
  }

  stop(): void {
    this.#stopped = true
  }

  async #run(hello: Uint8Array): Promise<void> {
    while (!this.#stopped) {
      const startMs = performance.now()
      const isEchoed = await echoed(this.#port, hello)
      if (this.#stopped) return
      if (!isEchoed) this.failed += 1
      this.slowestMs = Math.max(this.slowestMs, performance.now() - startMs)
      await delay(pauseMs)
    }
  }
}

async function echoed(port: number, hello: Uint8Array): Promise<boolean> {
  return await new Promise((resolve) => {
    const socket = connect({ port, host: '127.0.0.1' }, () => void socket.write(hello))
    let bytes = 0
    socket.on('data', (chunk: Buffer) => {
      bytes += chunk.byteLength
      if (bytes < hello.byteLength) return
      socket.destroy()
      resolve(true)
    })
    socket.on('error', () => resolve(false)).on('close', () => resolve(false))
  })
}
