// Many nodes without containers, on one machine: kubemark's hollow kubelets, which are kubelets with a runtime that does
// nothing, behind agents that have two gateways each.
//
//   machine: 3 hollow kubelets ─▶ agent ═╦═ veth ═▶ gateway 1 ─┬─▶ kube-apiserver ◀─ kube-controller-manager
//            3 hollow kubelets ─▶ agent ═╩═ veth ═▶ gateway 2 ─┘
//            …                                 one store for both

import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { tunnelConfig } from '../../src/cli/demo/tunnel.ts'
import type { LabProcess } from '../support/lab-process.ts'
import type { ApiServer } from './api-server.ts'
import type { FleetBinaries, LabBinaries } from './binaries.ts'
import { startControlPlane } from './control-plane.ts'
import { startControllerManager } from './controller-manager.ts'
import { kubeconfig } from './kubeconfig.ts'
import { createLabFolder } from './lab-folder.ts'
import { Machine } from './machine.ts'
import { createToken, startAgent } from './tunnel-agent.ts'
import { TunnelGateway } from './tunnel-gateway.ts'

/** Of the gateways, whose addresses the agents know by name. */
const gatewayPorts = [7443, 7444] as const
const tunnelName = 'tunnel.k8s.example.test'
/** In the machine, which has nobody else. */
const agentPortBase = 20_000
const kubeletPortBase = 30_000
/** They start in a second of CPU each. */
const startsAtOnce = 4
/** Half a second of CPU each, and the API server's answer to it: all at once, they would time out and come again. */
const kubeletIntervalMs = 500
/** Leaves its process number, as it is in the machine. */
const startScript = 'echo $$ >"$0"; export TMPDIR="$1"; shift; exec "$@"'

export interface FleetOptions {
  readonly nodes: number
  readonly agents: number
  readonly report: (line: string) => void
}

export interface Fleet {
  readonly server: ApiServer
  readonly gateways: readonly TunnelGateway[]
  /** By the name of its node. */
  readonly kubelets: ReadonlyMap<string, LabProcess>
  readonly agents: readonly LabProcess[]
  readonly controllerManager: LabProcess
  /** One more kubelet behind the first agent. */
  readonly addNode: (name: string) => Promise<void>
  /** kill -9 of a kubelet. */
  readonly killNode: (name: string) => void
  readonly logTails: () => Promise<string>
  readonly stop: () => Promise<void>
}

/** All of it runs; whether the nodes are ready has not been asked. */
export async function startFleet(binaries: LabBinaries & FleetBinaries, { nodes, agents: agentCount, report }: FleetOptions): Promise<Fleet> {
  const { directory, remove } = await createLabFolder()
  const ends: (() => Promise<void> | void)[] = [remove]
  const stop = async (): Promise<void> => {
    for (const end of ends.toReversed()) await end()
  }
  try {
    const machineFolder = join(directory, 'machine')
    const temporary = join(machineFolder, 'tmp')
    const pidFile = (node: string): string => join(machineFolder, `${node}.pid`)
    await mkdir(temporary, { recursive: true })
    const machine = await Machine.start({ directory: machineFolder, hostNames: [tunnelName] })
    ends.push(() => machine.stop())
    report('control plane')
    const plane = await startControlPlane(binaries, { tenant: 'acme', directory })
    ends.push(() => plane.stop())
    const { server } = plane
    const controllerManager = await startControllerManager(binaries.kubeControllerManager, { directory, server })
    ends.push(() => controllerManager.stop())
    const tunnel = await tunnelConfig(directory, tunnelName)
    const gateways = await Promise.all(gatewayPorts.map(async (port, index) =>
      await TunnelGateway.create({ name: `gateway${index + 1}`, directory, tenants: [{ server }], tunnel, listen: { address: machine.hostAddress, port } })))
    for (const gateway of gateways) {
      ends.push(() => gateway.kill())
      await gateway.start()
    }
    machine.closeFirewall(...gatewayPorts)

    report(`${agentCount} agents`)
    const first = gateways[0]
    if (first === undefined) throw new Error('there is no gateway')
    const token = await createToken(first.configFile, { tenant: server.tenant, uses: agentCount })
    const agents = await inBatches(agentCount, async (index) => await startAgent({
      name: `agent${index + 1}`, directory, token,
      gateways: gatewayPorts.map(port => `wss://${tunnelName}:${port}`),
      listen: { address: '127.0.0.1', port: agentPortBase + index },
      run: (...command) => machine.run(...command),
    }))

    report(`${nodes} hollow kubelets`)
    const kubelets = new Map<string, LabProcess>()
    const startKubelet = async (name: string, agent: number): Promise<void> => {
      const file = join(machineFolder, `${name}-kubeconfig`)
      const client = server.issueClient(`system:node:${name}`, 'system:nodes')
      const address = `https://127.0.0.1:${agentPortBase + agent}`
      await writeFile(file, kubeconfig({ server: address, serverName: server.hostname, caPem: server.caPem, client }), { mode: 0o600 })
      kubelets.set(name, machine.run(name, 'sh', [
        '-c', startScript, pidFile(name), temporary, binaries.kubemark,
        '--morph=kubelet', `--name=${name}`, `--kubeconfig=${file}`,
        `--kubelet-port=${kubeletPortBase + kubelets.size}`, '--kubelet-read-only-port=0', '--use-host-image-service=false',
      ]))
    }
    for (let node = 0; node < nodes; node += 1) {
      await startKubelet(`node${node + 1}`, node % agentCount)
      await delay(kubeletIntervalMs)
    }
    const logTails = async (): Promise<string> => (await Promise.all([plane, controllerManager, ...gateways, agents[0], kubelets.get('node1')]
      .map(async each => each === undefined ? '' : 'logTails' in each ? await each.logTails() : await each.logTail()))).join('\n')
    return {
      server, gateways, kubelets, agents, controllerManager, logTails, stop,
      addNode: async name => await startKubelet(name, 0),
      killNode: name => void machine.exec('sh', ['-c', 'kill -KILL "$(cat "$1")"', 'sh', pidFile(name)]),
    }
  } catch (error) {
    await stop()
    throw error
  }
}

async function inBatches<T>(count: number, start: (index: number) => Promise<T>): Promise<T[]> {
  const started: T[] = []
  while (started.length < count) {
    const indexes = Array.from({ length: Math.min(startsAtOnce, count - started.length) }, (_, offset) => started.length + offset)
    started.push(...await Promise.all(indexes.map(async index => await start(index))))
  }
  return started
}
