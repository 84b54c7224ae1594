// A process with few descriptors whose relay is asked for more connections than it can accept: what out-of-descriptors.test.ts
// looks at. Prints one line of JSON.

import { connect, createServer } from 'node:net'
import { once } from 'node:events'
import { createActiveCells } from '../../../src/core/balance/active-counts.ts'
import { createLinuxDriver } from '../../support/linux-driver.ts'
import { changeOf, endpoint, listenerName, tenant } from '../../support/config.ts'
import { buildClientHello } from '../../core/tls/hello-builder.ts'
import { until } from '../../support/sockets.ts'

const hello = buildClientHello({ serverName: 'acme.example.test' })
const failures: string[] = []
const server = createServer((socket) => {
  socket.on('error', () => undefined)
  socket.pipe(socket)
}).listen(0, '127.0.0.1')
await once(server, 'listening')
const address = server.address()
if (address === null || typeof address === 'string') throw new Error('no port')
const driver = createLinuxDriver({
  workers: 1,
  active: createActiveCells(1),
  connectionsMax: 1_000,
  newConnectionId: () => 'c',
  observer: { connectionEnded: () => undefined, driverError: (error, context) => failures.push(`${context}: ${error.message}`) },
})
await driver.publish(changeOf({ tenants: [tenant('acme', [endpoint(address.port)])] }))
const { port } = await driver.listen(listenerName, { address: '127.0.0.1', port: 0 }, { ipv6Only: false })

// Every descriptor that is left goes to clients: they are connected by the system, and nobody can accept them.
const clients = []
for (;;) {
  const client = connect({ port, host: '127.0.0.1' }).on('error', () => undefined)
  await until(() => !client.connecting)
  if (client.destroyed) break
  client.write(hello)
  clients.push(client)
  if ((driver.counters().acceptPauses ?? 0) > 0) break
}
await until(() => (driver.counters().acceptPauses ?? 0) > 0)
await Promise.all(clients.map(async (client) => {
  client.destroy()
  await until(() => client.closed)
}))
await until(() => driver.counters().openConnections === 0)

// The clients that have left are still in the backlog: until they are through, a further one may have to come again.
const answer = async (): Promise<Buffer | undefined> => await new Promise((resolve) => {
  const late = connect({ port, host: '127.0.0.1' })
  late.once('data', resolve).once('error', () => resolve(undefined)).once('close', () => resolve(undefined))
  late.write(hello)
})
let recovered = false
for (let tries = 0; tries < 1_000 && !recovered; tries++) recovered = (await answer())?.equals(hello) ?? false
const { acceptErrors, acceptPauses } = driver.counters()
await driver.stop()
process.stdout.write(`${JSON.stringify({ recovered, acceptErrors, acceptPauses, failure: failures[0], failures: failures.length })}\n`, () => process.exit())
