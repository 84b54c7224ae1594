// What the Node driver needs of Node so that a storm does not hold up what it relays: one newcomer a turn of the loop.
// libuv has it so since 1.45. Without it a whole backlog would be accepted in one turn, and newcomers would have to wait in slices.

import { once } from 'node:events'
import { connect } from 'node:net'
import { setImmediate as nextTurn } from 'node:timers/promises'
import { test } from 'tap'
import { NodeDriver } from '../../../src/relay/node/node-driver.ts'
import { endpoint, tenant } from '../../support/config.ts'
import { startRelay } from '../../support/relay.ts'
import { startEcho } from '../../support/sockets.ts'

void test('of many that wait to be accepted, one is in each turn of the loop', async (t) => {
  const echo = await startEcho(t)
  const { driver, port } = await startRelay(t, { createDriver: (options) => new NodeDriver(options), tenants: [tenant('acme', [endpoint(echo.port)])] })
  const newcomers = Array.from({ length: 100 }, () => connect(port, '127.0.0.1').on('error', () => undefined))
  t.teardown(() => {
    for (const socket of newcomers) socket.destroy()
  })
  // They are all in the backlog: connect(2) has ended the handshake on loopback.
  const open = [driver.counters().openConnections]
  while ((open.at(-1) ?? 0) < newcomers.length) {
    await nextTurn()
    open.push(driver.counters().openConnections)
  }
  t.equal(Math.max(...open.slice(1).map((count, index) => count - (open[index] ?? 0))), 1)
  await Promise.all(newcomers.filter(({ connecting }) => connecting).map(async (socket) => await once(socket, 'connect')))
})
