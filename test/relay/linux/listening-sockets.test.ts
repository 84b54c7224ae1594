import { test } from '../../support/linux-only.ts'
import { once } from 'node:events'
import { connect, createServer } from 'node:net'
import { closeAll, openListeningSockets } from '../../../src/relay/linux/listening-sockets.ts'
import { openDescriptors } from '../../support/linux-driver.ts'

const loopback = { address: '127.0.0.1', port: 0 }

for (const count of [1, 3]) {
  void test(`${count} sockets share one address, which nobody else can have: not with as many of their own either`, async (t) => {
    const { fds, bound } = openListeningSockets(loopback, { ipv6Only: false }, count)
    t.equal(fds.length, count)
    t.match(bound, { address: '127.0.0.1' })
    t.ok(bound.port > 0)
    const before = openDescriptors()
    for (const others of [1, 3]) t.throws(() => openListeningSockets(bound, { ipv6Only: false }, others), { code: 'EADDRINUSE' })
    t.equal(openDescriptors(), before, 'and what failed leaves nothing open')
    const server = createServer().listen(bound.port, '127.0.0.1')
    t.match(await once(server, 'error'), [{ code: 'EADDRINUSE' }])
    closeAll(fds)
    // At once: those that were never accepted leave nothing behind.
    const again = openListeningSockets(bound, { ipv6Only: false }, count)
    t.same(again.bound, bound)
    closeAll(again.fds)
  })
}

void test('an address that is taken, is none of ours or no address is refused', async (t) => {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => server.close())
  const taken = server.address()
  if (taken === null || typeof taken === 'string') throw new Error('unreachable')
  t.throws(() => openListeningSockets({ address: '127.0.0.1', port: taken.port }, { ipv6Only: false }, 2), { code: 'EADDRINUSE' })
  t.throws(() => openListeningSockets({ address: '203.0.113.1', port: 0 }, { ipv6Only: false }, 2), { code: 'EADDRNOTAVAIL' })
  t.throws(() => openListeningSockets({ address: 'localhost', port: 0 }, { ipv6Only: false }, 1), /no IP address/)
})

void test('an IPv6 listener has IPv4 too, unless it is told to leave that to others', async (t) => {
  for (const ipv6Only of [true, false]) {
    const { fds, bound } = openListeningSockets({ address: '::', port: 0 }, { ipv6Only }, 2)
    const client = connect({ host: '127.0.0.1', port: bound.port })
    const outcome = await new Promise<string>((resolve) => {
      client.once('connect', () => resolve('connected'))
      client.once('error', (error: NodeJS.ErrnoException) => resolve(error.code ?? ''))
    })
    t.equal(outcome, ipv6Only ? 'ECONNREFUSED' : 'connected')
    client.destroy()
    closeAll(fds)
  }
})
