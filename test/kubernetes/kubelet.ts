// The real kubelet of a machine. It dials the advertised address, and so needs the agent for everything.

import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { LabProcess } from '../support/lab-process.ts'
import type { ApiServer } from './api-server.ts'
import type { NodeBinaries } from './binaries.ts'
import { containerdSocket } from './containerd.ts'
import { kubeconfig } from './kubeconfig.ts'
import type { Machine } from './machine.ts'

export interface NodeOptions {
  readonly binaries: NodeBinaries
  /** For their configurations and credentials. */
  readonly directory: string
  readonly server: ApiServer
  readonly node: string
  /** https://host:port of the advertised address. */
  readonly serverUrl: string
}

export async function startKubelet(machine: Machine, { binaries, directory, server, node, serverUrl }: NodeOptions): Promise<LabProcess> {
  const file = (name: string): string => join(directory, `kubelet-${name}`)
  await mkdir(directory, { recursive: true })
  await writeFile(file('ca.crt'), server.caPem)
  const client = server.issueClient(`system:node:${node}`, 'system:nodes')
  await writeFile(file('kubeconfig'), kubeconfig({ server: serverUrl, caPem: server.caPem, client }), { mode: 0o600 })
  const serving = server.issueServer({ ipAddresses: [machine.address] })
  await writeFile(file('serving.crt'), serving.certificatePem)
  await writeFile(file('serving.key'), serving.keyPem, { mode: 0o600 })
  await writeFile(file('config'), JSON.stringify({
    apiVersion: 'kubelet.config.k8s.io/v1beta1',
    kind: 'KubeletConfiguration',
    authentication: { x509: { clientCAFile: file('ca.crt') }, webhook: { enabled: true }, anonymous: { enabled: false } },
    authorization: { mode: 'Webhook' },
    tlsCertFile: file('serving.crt'),
    tlsPrivateKeyFile: file('serving.key'),
    containerRuntimeEndpoint: containerdSocket,
    cgroupDriver: 'cgroupfs',
    cgroupsPerQOS: false,
    enforceNodeAllocatable: [],
    failCgroupV1: false,
    failSwapOn: false,
    // kube-proxy has the packets, and this machine's disks are the host's.
    makeIPTablesUtilChains: false,
    evictionHard: { 'memory.available': '0%', 'nodefs.available': '0%', 'nodefs.inodesFree': '0%', 'imagefs.available': '0%', 'imagefs.inodesFree': '0%' },
    imageGCHighThresholdPercent: 100,
    resolvConf: '',
  }))
  return machine.run('kubelet', binaries.kubelet, [
    `--config=${file('config')}`,
    `--kubeconfig=${file('kubeconfig')}`,
    `--hostname-override=${node}`,
    `--node-ip=${machine.address}`,
  ])
}
