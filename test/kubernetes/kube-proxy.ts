// The real kube-proxy of a machine, with nftables: it sends 10.96.0.1:443 to the advertised address, where the agent listens.

import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { LabProcess } from '../support/lab-process.ts'
import { kubeconfig } from './kubeconfig.ts'
import type { NodeOptions } from './kubelet.ts'
import type { Machine } from './machine.ts'

export async function startKubeProxy(machine: Machine, { binaries, directory, server, node, serverUrl }: NodeOptions): Promise<LabProcess> {
  const file = (name: string): string => join(directory, `kube-proxy-${name}`)
  await mkdir(directory, { recursive: true })
  await writeFile(file('kubeconfig'), kubeconfig({ server: serverUrl, caPem: server.caPem, client: server.issueClient('system:kube-proxy') }), { mode: 0o600 })
  await writeFile(file('config'), JSON.stringify({
    apiVersion: 'kubeproxy.config.k8s.io/v1alpha1',
    kind: 'KubeProxyConfiguration',
    mode: 'nftables',
    hostnameOverride: node,
    clientConnection: { kubeconfig: file('kubeconfig') },
    detectLocalMode: 'InterfaceNamePrefix',
    detectLocal: { interfaceNamePrefix: 'veth' },
    // Limits of the whole system, which a network namespace can't set.
    conntrack: { maxPerCore: 0, min: 0, tcpEstablishedTimeout: '0s', tcpCloseWaitTimeout: '0s' },
  }))
  return machine.run('kube-proxy', binaries.kubeProxy, [`--config=${file('config')}`])
}
