// Many connections, many reloads: nothing that is open is touched, nothing that is sent is lost.
//
//   1. `idle` connections are opened and left alone while a file of `tenants` tenants is reloaded `reloads` times.
//      Each then echoes a byte: all are live.
//   2. `echoing` connections at a time, with readers that stall, half-close and reset at random, run `rounds` times while
//      reloads go on beside them. Every byte is compared.
//
//   node test/soak/soak.ts [--driver linux|node] [--idle 9000] [--echoing 1000] [--tenants 25000] [--reloads 10] [--rounds 4]
//
// Without --driver it is done with both, one after the other.

import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rename, rm, writeFile } from 'node:fs/promises'
import { connect, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { buildClientHello } from '../core/tls/hello-builder.ts'
import { freePort } from '../../bench/free-port.ts'
import { LabProcess } from '../support/lab-process.ts'
import { behaviours, echoOnce } from './echo-client.ts'
import { descriptorsOf, metric, reasonsIn, residentOf, snapshotVersion } from './gateway-facts.ts'

export const drivers = ['linux', 'node'] as const

export interface SoakOptions {
  readonly driver: (typeof drivers)[number]
  readonly idle: number
  readonly echoing: number
  readonly tenants: number
  readonly reloads: number
  readonly rounds: number
  /** Of each echoing connection, at the most. */
  readonly echoBytesMax: number
  readonly progress: (line: string) => void
}

export interface SoakReport {
  readonly idleAlive: number
  readonly echoed: number
  readonly echoedBytes: number
  readonly failures: readonly string[]
  /** How often the gateway's access log names each termination reason. */
  readonly reasons: Readonly<Record<string, number>>
  readonly snapshotVersion: number
  /** Of the gateway: before the connections, with all of them idle, after the reloads, and at the end. */
  readonly residentKiB: readonly number[]
  readonly openConnectionsAtEnd: number
  /** Of the gateway: at its start, and at the end with the idle connections that are left. */
  readonly descriptors: readonly [number, number]
  readonly reloadMs: readonly number[]
}

const mainFile = fileURLToPath(new URL('../../src/sluice.js', import.meta.url))
const backendFile = fileURLToPath(new URL('echo-backend.ts', import.meta.url))
const soakTenant = 'soak'
const connectsAtOnce = 200
const readyMsMax = 60_000
const settleMsMax = 40_000
/** Our own connections to the admin address. */
const adminDescriptors = 4
/** Each worker of the Linux driver keeps two pipes. */
const workerDescriptors = 4

export async function runSoak(options: SoakOptions): Promise<SoakReport> {
  const directory = await mkdtemp(join(tmpdir(), 'sluice-soak-'))
  const backend = spawn(process.execPath, [backendFile], { stdio: ['pipe', 'pipe', 'inherit'] })
  let gateway: LabProcess | undefined
  const idle: Socket[] = []
  try {
    const [backendPort, port, adminPort] = [await firstLine(backend.stdout), await freePort(), await freePort()]
    const file = join(directory, 'sluice.yaml')
    const writeConfig = async (generation: number): Promise<void> => {
      await writeFile(`${file}.new`, configText({ driver: options.driver, port, adminPort, backendPort, tenants: options.tenants, generation }))
      await rename(`${file}.new`, file)
    }
    await writeConfig(0)
    gateway = new LabProcess({ name: 'gateway', executable: process.execPath, arguments_: [mainFile, 'gateway', '--config', file], directory })
    const admin = `http://127.0.0.1:${adminPort}`
    await gateway.waitUntil('is ready', readyMsMax, async () => await fetch(`${admin}/readyz`).then(({ ok }) => ok, () => false))
    const residentKiB = [await residentOf(gateway.pid)]
    const descriptorsAtStart = await descriptorsOf(gateway.pid)
    const hello = buildClientHello({ serverName: `${soakTenant}.example.test` })

    options.progress(`opening ${options.idle} connections`)
    while (idle.length < options.idle) {
      const batch = Math.min(connectsAtOnce, options.idle - idle.length)
      idle.push(...await Promise.all(Array.from({ length: batch }, async () => await openEchoing(port, hello))))
    }
    residentKiB.push(await residentOf(gateway.pid))

    let generation = 0
    const reloadMs: number[] = []
    const reload = async (): Promise<void> => {
      const before = await snapshotVersion(admin)
      await writeConfig(++generation)
      const startMs = performance.now()
      gateway?.signal('SIGHUP')
      await gateway?.waitUntil('has reloaded', readyMsMax, async () => await snapshotVersion(admin) > before)
      reloadMs.push(performance.now() - startMs)
    }
    for (let count = 0; count < options.reloads; count++) await reload()
    options.progress(`${options.reloads} reloads of ${options.tenants} tenants`)
    const alive = await Promise.all(idle.map(async (socket) => await echoesByte(socket)))
    const idleAlive = alive.filter(Boolean).length
    residentKiB.push(await residentOf(gateway.pid))
    options.progress(`${idleAlive} of ${idle.length} idle connections are live`)

    // Room for the echoing ones under the gateway's limit.
    for (const socket of idle.splice(0, options.echoing)) socket.destroy()
    const failures: string[] = []
    let echoed = 0
    let echoedBytes = 0
    for (let round = 0; round < options.rounds; round++) {
      const reloading = reload()
      const results = await Promise.allSettled(Array.from({ length: options.echoing }, async (_, index) => {
        const seed = round * options.echoing + index + 1
        const behaviour = behaviours[seed % behaviours.length] ?? 'steady'
        return await echoOnce({ port, hello, behaviour, seed, byteLength: 1 + (seed * 7919) % options.echoBytesMax })
      }))
      await reloading
      for (const result of results) {
        if (result.status === 'fulfilled') {
          echoed += 1
          echoedBytes += result.value
        } else {
          failures.push(String(result.reason))
        }
      }
      options.progress(`round ${round + 1}: ${echoed} connections echoed ${echoedBytes} bytes, ${failures.length} failed`)
    }
    residentKiB.push(await residentOf(gateway.pid))
    // Sockets that were reset after a burst linger for a second.
    const { pid } = gateway
    const descriptorSlack = adminDescriptors + workerDescriptors * await metric(admin, 'sluice_workers')
    let leftOpen = ''
    await gateway.waitUntil('has closed what ended', settleMsMax, async () => {
      const [open, descriptors] = [await metric(admin, 'sluice_connections_open'), await descriptorsOf(pid)]
      const message = `${open} connections and ${descriptors} descriptors are open`
      if (message !== leftOpen) options.progress(leftOpen = message)
      return open === idle.length && descriptors <= descriptorsAtStart + 2 * idle.length + descriptorSlack
    })
    return {
      idleAlive, echoed, echoedBytes, failures, residentKiB, reloadMs,
      reasons: await reasonsIn(gateway.logPath),
      snapshotVersion: await snapshotVersion(admin),
      openConnectionsAtEnd: await metric(admin, 'sluice_connections_open'),
      descriptors: [descriptorsAtStart, await descriptorsOf(gateway.pid)],
    }
  } catch (error) {
    const reasons = gateway === undefined ? {} : await reasonsIn(gateway.logPath)
    throw new Error(`the gateway's connections ended with ${JSON.stringify(reasons)}`, { cause: error })
  } finally {
    for (const socket of idle) socket.destroy()
    backend.kill('SIGKILL')
    gateway?.signal('SIGKILL')
    await gateway?.exited
    await rm(directory, { recursive: true })
  }
}

interface ConfigFacts {
  readonly driver: SoakOptions['driver']
  readonly port: number
  readonly adminPort: number
  readonly backendPort: number
  readonly tenants: number
  readonly generation: number
}

/** Checks have descriptors of their own, and here each one that is open is accounted for. */
const checksNothing = 'defaults: { health: { kind: none } }\n'

/** Each generation changes a hundredth of the tenants. */
function configText({ driver, port, adminPort, backendPort, tenants, generation }: ConfigFacts): string {
  const others = Array.from({ length: tenants - 1 }, (_, index) => {
    const nodePort = 1_024 + (index % 100 === 0 ? index + generation : index) % 60_000
    return `  - { name: t${index}, hostnames: [t${index}.example.test, "*.t${index}.example.test"], apiServer: { pool: admin, nodePort: ${nodePort} } }\n`
  })
  return `listeners: [{ address: 127.0.0.1:${port} }]
relay: { driver: ${driver} }
${checksNothing}pools: { admin: { addresses: [127.0.0.1] } }
tenants:
  - { name: ${soakTenant}, hostnames: [${soakTenant}.example.test], apiServer: { endpoints: [127.0.0.1:${backendPort}] } }
${others.join('')}admin: { address: 127.0.0.1:${adminPort} }
`
}

async function firstLine(stream: NodeJS.ReadableStream): Promise<number> {
  const [chunk]: unknown[] = await once(stream, 'data')
  return Number(String(chunk))
}

async function openEchoing(port: number, hello: Uint8Array): Promise<Socket> {
  const socket = connect({ port, host: '127.0.0.1', noDelay: true })
  await once(socket, 'connect')
  socket.write(hello)
  let haveBytes = 0
  while (haveBytes < hello.byteLength) {
    const [chunk]: Buffer[] = await once(socket, 'data')
    haveBytes += chunk?.byteLength ?? 0
  }
  // From now on an error means that it is not alive, which `echoesByte` sees.
  socket.on('error', () => undefined)
  return socket
}

async function echoesByte(socket: Socket): Promise<boolean> {
  if (socket.destroyed || socket.readableEnded) return false
  socket.write('x')
  return await Promise.race([
    once(socket, 'data').then(([chunk]) => String(chunk) === 'x', () => false),
    once(socket, 'close').then(() => false, () => false),
  ])
}

if (import.meta.main) {
  const { values } = parseArgs({
    options: {
      'driver': { type: 'string' },
      'idle': { type: 'string', default: '9000' },
      'echoing': { type: 'string', default: '1000' },
      'tenants': { type: 'string', default: '25000' },
      'reloads': { type: 'string', default: '10' },
      'rounds': { type: 'string', default: '4' },
      'echo-bytes-max': { type: 'string', default: '1000000' },
    },
  })
  const asked = drivers.filter((driver) => values.driver === undefined || values.driver === driver)
  if (asked.length === 0) throw new Error(`--driver ${values.driver}; expected ${drivers.join(' or ')}`)
  for (const driver of asked) {
    const report = await runSoak({
      driver,
      idle: Number(values.idle),
      echoing: Number(values.echoing),
      tenants: Number(values.tenants),
      reloads: Number(values.reloads),
      rounds: Number(values.rounds),
      echoBytesMax: Number(values['echo-bytes-max']),
      progress: (line) => process.stdout.write(`${driver} driver: ${line}\n`),
    })
    process.stdout.write(`${JSON.stringify({ driver, ...report }, undefined, 2)}\n`)
    if (report.failures.length > 0 || report.idleAlive < Number(values.idle)) process.exitCode = 1
  }
}
