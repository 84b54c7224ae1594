// A descriptor on its way from a worker to the main thread survives the worker: it arrives, whole, and once.

import { readdirSync } from 'node:fs'
import { test } from 'tap'
import { socketOf } from '../../../src/relay/linux/handed-over-socket.ts'
import type { HandedOver } from '../../../src/relay/driver.ts'
import { buildClientHello } from '../../core/tls/hello-builder.ts'
import { endpoint, tenant } from '../../support/config.ts'
import { createLinuxDriver } from '../../support/linux-driver.ts'
import { startRelay } from '../../support/relay.ts'
import { dial, readBytes, readToEnd, until } from '../../support/sockets.ts'

const serverName = 'tunnel.example.test'
const hello = buildClientHello({ serverName })

for (const how of ['stops', 'dies'] as const) {
  void test(`a descriptor that is handed over while its worker ${how} arrives, and nothing else closes it`, async (t) => {
    const handedOver: { connection: HandedOver; fd: number }[] = []
    let crash = async (): Promise<void> => undefined
    const relay = await startRelay(t, {
      createDriver: (options) => {
        const driver = createLinuxDriver({
          ...options,
          // That the worker has died is told too.
          observer: { ...options.observer, driverError: () => undefined },
          handOver: (connection, fd) => handedOver.push({ connection, fd }),
        })
        crash = async () => await driver.crashWorker(0)
        return driver
      },
      tenants: [],
      tunnelHostnames: [serverName],
    })
    const client = await dial(t, relay.port, hello)
    // This thread turns no loop meanwhile: the worker's message waits.
    while (relay.driver.counters().bytesFromDownstream < hello.length || relay.driver.counters().openConnections > 0);
    t.same(handedOver, [], 'in flight')
    if (how === 'stops') await relay.driver.stop()
    else await crash()
    t.match(handedOver, [{ connection: { record: { reason: 'handed-over', serverName, client: { port: client.localPort } } } }])
    const [{ connection, fd } = { connection: { head: hello }, fd: -1 }] = handedOver
    const open = descriptors()
    t.ok(open.includes(fd), 'open')
    const socket = socketOf(fd, connection.head)
    client.write('and what comes behind it')
    t.same(await readBytes(socket, hello.length + 24), Buffer.concat([hello, Buffer.from('and what comes behind it')]))
    socket.end('an answer')
    t.equal((await readToEnd(client)).bytes.toString(), 'an answer')
    client.end()
    await until(() => !descriptors().includes(fd))
    if (how === 'stops') return
    const next = await dial(t, relay.port, hello)
    await until(() => handedOver.length === 2)
    t.same(Buffer.from(handedOver[1]?.connection.head ?? []), hello, 'and the worker’s successor hands over too')
    socketOf(handedOver[1]?.fd ?? -1, hello).destroy()
    await readToEnd(next)
  })
}

void test('where nobody takes the tunnel’s connections they are refused, though a tenant’s wildcard has the name', async (t) => {
  const relay = await startRelay(t, { createDriver: (options) => createLinuxDriver(options), tenants: [tenant('acme', [endpoint(9)], { hostnames: ['*.example.test'] })], tunnelHostnames: [serverName] })
  const client = await dial(t, relay.port, hello)
  t.equal((await readToEnd(client)).bytes.byteLength, 7, 'an alert')
  t.match(await relay.record(0), { reason: 'unknown-server-name' })
})

function descriptors(): readonly number[] {
  return readdirSync('/proc/self/fd').map(Number)
}
