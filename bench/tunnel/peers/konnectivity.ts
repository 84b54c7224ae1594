// Konnectivity, https://github.com/kubernetes-sigs/apiserver-network-proxy: gRPC over TLS between its server and its agent. It
// is made for API servers that reach nodes, and here its agent reaches the backend instead: a stream is a stream.

import { join } from 'node:path'
import { findGoProgram, type GoProgram } from './go-program.ts'
import type { TunnelFacts, TunnelLaunch, TunnelPeer } from './tunnel-peer.ts'

const server: GoProgram = { name: 'konnectivity-server', folder: 'konnectivity', package_: 'sigs.k8s.io/apiserver-network-proxy/cmd/server' }
const agent: GoProgram = { name: 'konnectivity-agent', folder: 'konnectivity', package_: 'sigs.k8s.io/apiserver-network-proxy/cmd/agent' }
export const konnectivityPrograms: readonly GoProgram[] = [server, agent]

export const konnectivity: TunnelPeer = {
  name: 'konnectivity',
  settings: '`--mode=http-connect` on a Unix socket (a CONNECT for each stream, as kube-apiserver does), one agent, TLS',
  find: () => {
    const [foundServer, foundAgent] = [findGoProgram(server), findGoProgram(agent)]
    if (typeof foundServer === 'string') return foundServer
    if (typeof foundAgent === 'string') return foundAgent
    return { version: foundServer.version, launch: (facts) => launch({ server: foundServer.executable, agent: foundAgent.executable }, facts) }
  },
}

function launch(executables: { readonly server: string, readonly agent: string }, facts: TunnelFacts): TunnelLaunch {
  const { serverDirectory, clientDirectory, linkPort, dialPort, otherPorts: [serverHealth, serverAdmin, agentHealth, agentAdmin], certificate } = facts
  const socket = join(serverDirectory, 'entry.sock')
  return {
    connectProxy: socket,
    server: {
      executable: executables.server,
      arguments_: [
        '--mode=http-connect', `--uds-name=${socket}`, '--server-port=0', `--agent-port=${linkPort}`, '--server-id=bench',
        `--health-port=${serverHealth}`, `--admin-port=${serverAdmin}`,
        `--cluster-cert=${join(serverDirectory, 'link.crt')}`, `--cluster-key=${join(serverDirectory, 'link.key')}`,
      ],
      files: { 'link.crt': certificate.certificatePem, 'link.key': certificate.keyPem },
      stopSignal: 'SIGKILL',
    },
    client: () => Promise.resolve({
      executable: executables.agent,
      arguments_: [
        `--ca-cert=${join(clientDirectory, 'ca.crt')}`, '--proxy-server-host=localhost', `--proxy-server-port=${dialPort}`, '--agent-id=bench',
        `--health-server-port=${agentHealth}`, `--admin-server-port=${agentAdmin}`,
      ],
      files: { 'ca.crt': certificate.caPem },
      stopSignal: 'SIGKILL',
    }),
  }
}
