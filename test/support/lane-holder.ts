// A process with one connection in the kernel lane, until it is killed; where it can have none it says why, relays without, and ends.

import { once } from 'node:events'
import { connect, createServer } from 'node:net'
import { createActiveCells } from '../../src/core/balance/active-counts.ts'
import { buildClientHello } from '../core/tls/hello-builder.ts'
import { changeOf, endpoint, listener, listenerName, tenant } from './config.ts'
import { createLinuxDriver } from './linux-driver.ts'
import { until } from './sockets.ts'

let why = ''
const driver = createLinuxDriver({
  connectionsMax: 16, workers: 1, active: createActiveCells(1), newConnectionId: () => 'c',
  observer: { connectionEnded: () => undefined, driverError: (error) => {
    why = error.message
  } },
}, { kernelLane: 'always' })
const echo = createServer((socket) => socket.pipe(socket)).listen(0, '127.0.0.1')
await once(echo, 'listening')
const bound = echo.address()
if (bound === null || typeof bound === 'string') throw new Error('no port')
await driver.publish(changeOf({ tenants: [tenant('acme', [endpoint(bound.port)])], listeners: [listener()] }))
const { port } = await driver.listen(listenerName, { address: '127.0.0.1', port: 0 }, { ipv6Only: false })
const client = connect(port, '127.0.0.1')
client.write(buildClientHello({ serverName: 'acme.example.test' }))
await once(client, 'data')
await until(() => why !== '' || driver.counters().kernelLaneConnections === 1)
if (why === '') {
  process.stdout.write('in the lane\n')
} else {
  client.write('ping')
  await once(client, 'data')
  process.stdout.write(`${why}\nrelayed without it\n`, () => process.exit())
}
