// Hosts that vanish behind the tunnel: API servers of streams.

import { test } from 'tap'
import { PeerWatch } from '../../src/relay/node/peer-watch.ts'
import { createNodeSockets } from '../../src/tunnel/node-sockets.ts'
import { cannotMakeHosts, startVanishingHost } from '../compliance/vanished-host.ts'
import { endpoint } from '../support/config.ts'
import { dial, readBytes, readToEnd, until } from '../support/sockets.ts'
import { streamSockets } from '../support/stream-sockets.ts'
import { tunnelLab } from './tunnel-lab.ts'

const nodePeers = new PeerWatch()
const drivers = [['the system’s', streamSockets], ['node', createNodeSockets((socket) => nodePeers.watch(socket))]] as const

for (const [name, socketDriver] of drivers) void test(`${name}: streams to an API server whose host vanishes are reset, idle ones and those with bytes in flight; the session goes on`, { skip: cannotMakeHosts() ?? false }, async (t) => {
  const lab = await tunnelLab(t)
  const host = await startVanishingHost(t)
  const gateway = await lab.gateway({ endpoints: [endpoint(host.port, { address: host.address })], socketDriver })
  const agent = await lab.agent({ gateways: [gateway.url], token: await lab.token() })
  await agent.up()
  const [idle, writing] = [await dial(t, agent.port, Buffer.from('x')), await dial(t, agent.port, Buffer.from('x'))]
  for (const client of [idle, writing]) await readBytes(client, 1)
  const endings = Promise.all([readToEnd(idle), readToEnd(writing)])
  host.vanish()
  writing.write('nobody acknowledges this')
  t.match(await endings, [{ how: 'ECONNRESET' }, { how: 'ECONNRESET' }])
  await until(() => gateway.streams.length === 2)
  t.match(gateway.streams, [{ end: 'socket-reset' }, { end: 'socket-reset' }])
  t.equal(gateway.ended.length, 0)
})
