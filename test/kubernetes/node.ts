// One tenant's control plane and gateway here, and one node elsewhere:
//
//   machine: kubelet, kube-proxy, pods ─▶ agent 172.30.0.1:6443 ══ veth: the gateway's port only ══▶ gateway ─▶ kube-apiserver
//                                                                                       API server and gateway are at .1/30
//
// There is a second gateway, which shares the first one's store, and another tenant, whose node has the same address.
//
// The API server has the machine's gateway address too, with a port of its own, so that only the firewall keeps it away.

import { execFileSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { copyFile, mkdir, rename, rm, symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { tunnelConfig } from '../../src/cli/demo/tunnel.ts'
import type { SocketAddress } from '../../src/core/net/socket-address.ts'
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
const [gatewayPort, otherGatewayPort] = [7443, 7444]
const neighbourPort = 6444
const kubeletPort = 10_250
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
  /** Shares the store with the first; the agent does not know it. It is not started. */
  readonly other: TunnelGateway
  /** From now on the API server asks this one for its nodes. */
  readonly askEgressOf: (gateway: TunnelGateway) => Promise<void>
  readonly neighbour: Neighbour
  /** A file with an authority that the API server's certificate is not from. */
  readonly strangersCa: string
  readonly killAgent: () => Promise<void>
  /** As systemd would. */
  readonly restartAgent: (knows?: 'one gateway' | 'both gateways') => Promise<void>
  readonly logTails: () => Promise<string>
  readonly stop: () => Promise<void>
}

/** Another tenant, whose node has the very address that the first one's has. */
export interface Neighbour {
  readonly server: ApiServer
  readonly kubectl: Kubectl
  readonly node: string
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
    const watched = (process_: LabProcess): void => void logs.push(() => process_.logTail())
    const egressSocket = join(directory, 'egress.sock')
    const neighbourFolder = join(directory, 'neighbour')
    await mkdir(neighbourFolder)
    const [plane, neighbourPlane] = await Promise.all([
      startControlPlane(binaries, { tenant: 'acme', directory, listen: { address: hostAddress, port: apiServerPort }, advertised: { address: advertisedAddress }, egressSocket }),
      startControlPlane(binaries, { tenant: 'globex', directory: neighbourFolder, listen: { address: hostAddress, port: neighbourPort }, egressSocket: join(directory, 'globex-1.sock') }),
    ])
    for (const each of [plane, neighbourPlane]) {
      ends.push(() => each.stop())
      logs.push(() => each.logTails())
    }
    const { server } = plane
    const tunnel = await tunnelConfig(directory, tunnelName)
    const createGateway = async (number: number, port: number): Promise<TunnelGateway> => {
      const gateway = await TunnelGateway.create({
        name: `gateway${number}`, directory, listen: { address: '0.0.0.0', port },
        tenants: [plane, neighbourPlane].map(({ server: each }) => ({ server: each, egressSocket: join(directory, `${each.tenant}-${number}.sock`) })),
        tunnel: tunnel.replace('tunnel:\n', `tunnel:\n  threads: 2\n  peerAddress: ${hostAddress}:${port}\n`),
      })
      // Not told to drain: the node would hold it.
      ends.push(() => gateway.kill())
      logs.push(() => gateway.logTail())
      return gateway
    }
    const [gateway, other] = [await createGateway(1, gatewayPort), await createGateway(2, otherGatewayPort)]
    const askEgressOf = async (which: TunnelGateway): Promise<void> => {
      await rm(`${egressSocket}.next`, { force: true })
      await symlink(join(directory, `acme-${which === gateway ? 1 : 2}.sock`), `${egressSocket}.next`)
      await rename(`${egressSocket}.next`, egressSocket)
    }
    await askEgressOf(gateway)
    await gateway.start()

    machine.closeFirewall(gatewayPort, otherGatewayPort)
    const token = await createToken(gateway.configFile, { tenant: server.tenant })
    let agents = 0
    const agent = async (ports: readonly number[]): Promise<LabProcess> => {
      const started = await startAgent({
        name: nodeName, directory, token, turn: ++agents,
        gateways: ports.map((port) => `wss://${tunnelName}:${port}`),
        listen: { address: advertisedAddress, port: apiServerPort }, addAddress: true, reverse: agentReverse,
        run: (...command) => machine.run(...command),
      })
      watched(started)
      return started
    }
    let running = await agent([gatewayPort])
    const neighbour = await startNeighbour({ binaries, directory: neighbourFolder, gatewayConfig: gateway.configFile, server: neighbourPlane.server, sameAddress: machine.address, tunnelCa: join(directory, 'tunnel-ca.crt'), watched, ends })
    watched(await startExtensionServer(machine, { server, directory, name: server.tenant, names: { dnsNames: [hooksName, `extension.${podNamespace}.svc`] }, listen: { address: machine.address, port: hooksPort } }))
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
      binaries, directory, machine, kubectl, server, gateway, gatewayPort, other, askEgressOf, neighbour, strangersCa: join(directory, 'tunnel-ca.crt'), logTails, stop,
      killAgent: async () => {
        // A signal from here would reach nsenter.
        machine.exec('sh', ['-c', killed])
        await running.exited
      },
      restartAgent: async (knows = 'one gateway') => {
        running = await agent(knows === 'one gateway' ? [gatewayPort] : [gatewayPort, otherGatewayPort])
      },
    }
  } catch (error) {
    await stop()
    throw error
  }
}

interface NeighbourOptions {
  readonly binaries: LabBinaries
  readonly directory: string
  readonly gatewayConfig: string
  readonly server: ApiServer
  /** Of the first one's machine, and its node. */
  readonly sameAddress: string
  readonly tunnelCa: string
  readonly watched: (process_: LabProcess) => void
  readonly ends: (() => void)[]
}

async function startNeighbour({ binaries, directory, gatewayConfig, server, sameAddress, tunnelCa, watched, ends }: NeighbourOptions): Promise<Neighbour> {
  const machine = await Machine.start({ directory: join(directory, nodeName), hostNames: [tunnelName], index: 1 })
  const stop = (): void => {
    process.off('exit', stop)
    machine.stop()
  }
  process.once('exit', stop)
  ends.push(stop)
  machine.exec('ip', ['address', 'add', `${sameAddress}/32`, 'dev', 'lo'])
  machine.closeFirewall(gatewayPort)
  await copyFile(tunnelCa, join(directory, 'tunnel-ca.crt'))
  watched(await startAgent({
    name: nodeName, directory, token: await createToken(gatewayConfig, { tenant: server.tenant }),
    gateways: [`wss://${tunnelName}:${gatewayPort}`], addresses: [sameAddress],
    listen: { address: advertisedAddress, port: apiServerPort }, addAddress: true,
    run: (...command) => machine.run(...command),
  }))
  watched(await startExtensionServer(machine, { server, directory, name: server.tenant, names: { ipAddresses: [sameAddress] }, listen: { address: sameAddress, port: kubeletPort } }))
  const node = 'node-of-globex'
  const created = await server.request('/api/v1/nodes', { method: 'POST', body: { metadata: { name: node } } })
  if (created.status !== 201) throw new Error(`no node: ${created.status} ${created.body}`)
  const patched = await server.request(`/api/v1/nodes/${node}/status`, { method: 'PATCH', body: { status: { addresses: [{ type: 'InternalIP', address: sameAddress }], daemonEndpoints: { kubeletEndpoint: { Port: kubeletPort } } } } })
  if (patched.status !== 200) throw new Error(`no address of the node: ${patched.status} ${patched.body}`)
  const kubectl = await Kubectl.create({ executable: binaries.kubectl, directory, address: server.address, port: server.port, serverName: server.hostname, caPem: server.caPem, client: server.admin })
  return { server, kubectl, node }
}

async function startExtensionServer(machine: Machine, { server, directory, name, names, listen }: { readonly server: ApiServer; readonly directory: string; readonly name: string; readonly names: Parameters<ApiServer['issueServer']>[0]; readonly listen: SocketAddress }): Promise<LabProcess> {
  const [certFile, keyFile] = [join(directory, 'extension.crt'), join(directory, 'extension.key')]
  const { certificatePem, keyPem } = server.issueServer(names)
  await writeFile(certFile, certificatePem)
  await writeFile(keyFile, keyPem, { mode: 0o600 })
  return machine.run('extension', process.execPath, [extensionServerFile, name, listen.address, String(listen.port), certFile, keyFile])
}

function hasCommand(name: string): boolean {
  return (process.env['PATH'] ?? '').split(':').some(folder => existsSync(join(folder, name)))
}
