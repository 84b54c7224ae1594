// A burst of API servers' connections to an egress.

import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { connect, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'tap'
import { EgressServer } from '../../src/tunnel/egress/egress-server.ts'
import { until } from '../support/sockets.ts'

void test('a thousand connections that come before one is accepted are all let in', async (t) => {
  // A test's own folder has too long a path for a socket.
  const folder = mkdtempSync(join(tmpdir(), 'sluice-egress-'))
  t.teardown(() => rmSync(folder, { recursive: true }))
  const path = join(folder, 'egress.sock')
  const accepted: Socket[] = []
  const server = await EgressServer.open({ kind: 'socket', path, tenant: 'acme' }, { accepted: (socket) => accepted.push(socket), connected: undefined, refused: (detail) => t.fail(detail) })
  t.teardown(async () => await server.close())
  // In one turn: the server's own has not come yet.
  const clients = Array.from({ length: 1_000 }, () => connect({ path }))
  t.teardown(() => {
    for (const socket of [...clients, ...accepted]) socket.destroy()
  })
  await Promise.all(clients.map(async (client) => await once(client, 'connect')))
  await until(() => accepted.length === clients.length)
})
