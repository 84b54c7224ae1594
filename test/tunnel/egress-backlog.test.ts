// A burst of API servers' connections to an egress.

import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'tap'
import type { StreamSocket } from '../../src/core/tunnel/stream-sockets.ts'
import { EgressServer } from '../../src/tunnel/egress/egress-server.ts'
import { until } from '../support/sockets.ts'
import { streamSockets } from '../support/stream-sockets.ts'

void test('a thousand connections that come before one is accepted are all let in', async (t) => {
  // A test's own folder has too long a path for a socket.
  const folder = mkdtempSync(join(tmpdir(), 'sluice-egress-'))
  t.teardown(() => rmSync(folder, { recursive: true }))
  const path = join(folder, 'egress.sock')
  const accepted: StreamSocket[] = []
  const server = await EgressServer.open({ kind: 'socket', path, tenant: 'acme' }, streamSockets, { accepted: (socket) => accepted.push(socket), refused: (detail) => t.fail(detail) })
  t.teardown(async () => await server.close())
  // In one turn: the server's own has not come yet.
  const clients = Array.from({ length: 1_000 }, () => connect({ path }))
  t.teardown(() => {
    for (const socket of clients) socket.destroy()
    for (const socket of accepted) socket.reset()
  })
  await Promise.all(clients.map(async (client) => await once(client, 'connect')))
  await until(() => accepted.length === clients.length)
})
