// One tenant's control plane and gateway here, and one node elsewhere:
//
//   machine: kubelet, kube-proxy, pods ─▶ agent 172.30.0.1:6443 ══ veth: the gateway's port only ══▶ gateway ─▶ kube-apiserver
//                                                                                       API server and gateway are at .1/30
//
// The API server has the machine's gateway address too, with a port of its own, so that only the firewall keeps it away.

import { execFileSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { tunnelConfig } from '../../src/cli/demo/tunnel.ts'
import type { LabProcess } from '../support/lab-process.ts'
import type { ApiServer } from './api-server.ts'
import type { LabBinaries, NodeBinaries } from './binaries.ts'
import { pluginFolder, startContainerd } from './containerd.ts'
import { startControlPlane } from './control-plane.ts'
import { busyboxFile } from './image.ts'
import { Kubectl } from './kubectl.ts'
import { startKubeProxy } from './kube-proxy.ts'
import { startKubelet, type NodeOptions } from './kubelet.ts'
import { createLabFolder } from './lab-folder.ts'
import { Machine } from './machine.ts'
import { podNamespace } from './pods.ts'
import { createToken, startAgent } from './tunnel-agent.ts'
import { TunnelGateway } from './tunnel-gateway.ts'

export const nodeName = 'node1'
export const advertisedAddress = '172.30.0.1'
/** Of the API server, and so of what it advertises. */
export const apiServerPort = 6443
const gatewayPort = 7443
const tunnelName = 'tunnel.k8s.example.test'
/** What only the machine can resolve. */
export const hooksName = 'hooks.node.example'
export const hooksPort = 8443
const extensionServerFile = fileURLToPath(new URL('extension-server.ts', import.meta.url))
/** Beside the kubelet: services, by kube-proxy's rules, and a host whose name only the machine knows. */
const agentReverse = `reverse:
  allow:
    - { node: true, ports: [10250] }
    - { cidr: 10.96.0.0/16, ports: [443] }
    - { host: ${hooksName}, ports: [${hooksPort}] }
  announce: [10.96.0.0/16]
`
/** Brackets: not the shell that looks for it. */
const killed = 'for each in /proc/[0-9]*; do if tr "\\0" " " <$each/cmdline | grep -q "sluice[.]js agent"; then kill -KILL ${each#/proc/}; fi; done'
const commands = ['ip', 'nft', 'runc', 'buildah', 'nsenter', 'unshare', 'setpriv', 'curl'] as const

export interface NodeLab {
  readonly binaries: LabBinaries & NodeBinaries
  readonly directory: string
  readonly machine: Machine
  /** The administrator's, at the API server itself. */
  readonly kubectl: Kubectl
  readonly server: ApiServer
  readonly gateway: TunnelGateway
  readonly gatewayPort: number
  /** A file with an authority that the API server's certificate is not from. */
  readonly strangersCa: string
  readonly killAgent: () => Promise<void>
  /** As systemd would. */
  readonly restartAgent: () => Promise<void>
  readonly logTails: () => Promise<string>
  readonly stop: () => Promise<void>
}

/** @returns why a node can't be had here; undefined: it can */
export function cannotRunNodes(): string | undefined {
  if (process.platform !== 'linux') return 'kubelets are Linux’s'
  if (process.getuid?.() !== 0) return 'a kubelet needs root'
  const missing = commands.filter(command => !hasCommand(command))
  if (missing.length > 0) return `there is no ${missing.join(', ')}: see .ci/packages`
  if (!existsSync(busyboxFile) || !existsSync(pluginFolder)) return `${busyboxFile} or ${pluginFolder} is missing: see .ci/packages`
  try {
    execFileSync('unshare', ['--net', '--mount', '--pid', '--fork', 'true'], { stdio: 'pipe' })
    return undefined
  } catch (error) {
    return `no namespaces can be made: ${String(error)}`
  }
}

/** All of it runs, and nothing has been waited for but the agent's session. */
export async function startNodeLab(binaries: LabBinaries & NodeBinaries): Promise<NodeLab> {
  const { directory, remove } = await createLabFolder()
  const ends: (() => Promise<void> | void)[] = [remove]
  const logs: (() => Promise<string>)[] = []
  const stop = async (): Promise<void> => {
    for (const end of ends.toReversed()) await end()
  }
  try {
    const machine = await Machine.start({ directory: join(directory, nodeName), hostNames: [tunnelName], ownNames: [hooksName] })
    // Also when the tests are interrupted.
    let removeCgroups = (): void => undefined
    const stopMachine = (): void => {
      process.off('exit', stopMachine)
      machine.stop()
      removeCgroups()
    }
    process.once('exit', stopMachine)
    ends.push(stopMachine)
    const { hostAddress } = machine
    const egressSocket = join(directory, 'egress.sock')
    const plane = await startControlPlane(binaries, {
      tenant: 'acme', directory, listen: { address: hostAddress, port: apiServerPort }, advertised: { address: advertisedAddress }, egressSocket,
    })
    ends.push(() => plane.stop())
    logs.push(() => plane.logTails())
    const { server } = plane
    const gateway = await TunnelGateway.create({
      name: 'gateway', directory, server, listen: { address: hostAddress, port: gatewayPort }, tunnel: (await tunnelConfig(directory, tunnelName)).replace('tunnel:\n', 'tunnel:\n  threads: 2\n'), egressSocket,
    })
    // Not told to drain: the node would hold it.
    ends.push(() => gateway.kill())
    logs.push(() => gateway.logTail())
    await gateway.start()

    machine.closeFirewall(gatewayPort)
    const watched = (process_: LabProcess): void => void logs.push(() => process_.logTail())
    const token = await createToken(gateway.configFile, { tenant: server.tenant })
    let agents = 0
    const agent = async (): Promise<LabProcess> => {
      const started = await startAgent({
        name: nodeName, directory, token, turn: ++agents,
        gateways: [`wss://${tunnelName}:${gatewayPort}`],
        listen: { address: advertisedAddress, port: apiServerPort }, addAddress: true, reverse: agentReverse,
        run: (...command) => machine.run(...command),
      })
      watched(started)
      return started
    }
    let running = await agent()
    watched(await startExtensionServer(machine, server, directory))
    const options: NodeOptions = {
      binaries, server, directory: join(directory, nodeName), node: nodeName, serverUrl: `https://${advertisedAddress}:${apiServerPort}`,
    }
    const containerd = await startContainerd(machine, options)
    removeCgroups = containerd.removeCgroups
    watched(containerd.process)
    watched(await startKubelet(machine, options))
    watched(await startKubeProxy(machine, options))
    const logTails = async (): Promise<string> => (await Promise.all(logs.map(tail => tail()))).join('\n')
    const kubectl = await Kubectl.create({ executable: binaries.kubectl, directory, address: hostAddress, port: apiServerPort, serverName: server.hostname, caPem: server.caPem, client: server.admin })
    return {
      binaries, directory, machine, kubectl, server, gateway, gatewayPort, strangersCa: join(directory, 'tunnel-ca.crt'), logTails, stop,
      killAgent: async () => {
        // A signal from here would reach nsenter.
        machine.exec('sh', ['-c', killed])
        await running.exited
      },
      restartAgent: async () => {
        running = await agent()
      },
    }
  } catch (error) {
    await stop()
    throw error
  }
}

async function startExtensionServer(machine: Machine, server: ApiServer, directory: string): Promise<LabProcess> {
  const [certFile, keyFile] = [join(directory, 'extension.crt'), join(directory, 'extension.key')]
  const { certificatePem, keyPem } = server.issueServer({ dnsNames: [hooksName, `extension.${podNamespace}.svc`] })
  await writeFile(certFile, certificatePem)
  await writeFile(keyFile, keyPem, { mode: 0o600 })
  return machine.run('extension', process.execPath, [extensionServerFile, machine.address, String(hooksPort), certFile, keyFile])
}

function hasCommand(name: string): boolean {
  return (process.env['PATH'] ?? '').split(':').some(folder => existsSync(join(folder, name)))
}
