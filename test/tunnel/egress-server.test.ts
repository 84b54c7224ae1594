// An egress's own socket: a burst of connections, and one gateway in another's place.

import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { readdir } from 'node:fs/promises'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { test } from 'tap'
import type { StreamSocket } from '../../src/core/tunnel/stream-sockets.ts'
import { EgressServer } from '../../src/tunnel/egress/egress-server.ts'
import { socketFolder } from '../support/socket-folder.ts'
import { until } from '../support/sockets.ts'
import { streamSockets } from '../support/stream-sockets.ts'
import { openSocket } from './egress-lab.ts'

void test('a thousand connections that come before one is accepted are all let in', async (t) => {
  // A test's own folder has too long a path for a socket.
  const folder = mkdtempSync(join(tmpdir(), 'sluice-egress-'))
  t.teardown(() => rmSync(folder, { recursive: true }))
  const path = join(folder, 'egress.sock')
  const accepted: StreamSocket[] = []
  const server = await EgressServer.open({ kind: 'socket', path, tenant: 'acme' }, streamSockets, { accepted: (socket) => accepted.push(socket), connected: undefined, refused: (detail) => t.fail(detail) })
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

void test('a gateway that goes never takes the socket with it that another one has put in its place', async (t) => {
  const path = join(await socketFolder(t), 'acme.sock')
  const handler = { accepted: (socket: StreamSocket) => socket.reset(), refused: () => undefined, connected: undefined }
  const open = async (): Promise<EgressServer> => await EgressServer.open({ kind: 'socket', path, tenant: 'acme' }, streamSockets, handler)
  let before = await open()
  for (let turn = 0; turn < 200; turn++) {
    const [next] = await Promise.all([open(), before.close()])
    await openSocket(t, path)
    before = next
  }
  await before.close()
  t.same(await readdir(dirname(path)), [])
})
