// The relay between the ends of a slow link: all bytes, in order, FIN behind them.

import { once } from 'node:events'
import { test, type Test } from 'tap'
import { DelayRelay } from '../../../bench/tunnel/delay.ts'
import { dial, startBackend, startEcho } from '../../support/sockets.ts'

async function relayTo(t: Test, targetPort: number): Promise<number> {
  const relay = await DelayRelay.start({ targetPort, delayMs: 20 })
  t.teardown(() => relay.stop())
  return relay.port
}

void test('what is sent comes back, late and whole, and then FIN', async (t) => {
  const port = await relayTo(t, (await startEcho(t)).port)
  const sent = Buffer.from(Uint32Array.from({ length: 500_000 }, (_, index) => index).buffer)
  const socket = await dial(t, port)
  const startMs = performance.now()
  socket.end(sent)
  const chunks: Buffer[] = []
  socket.on('data', (bytes: Buffer) => chunks.push(bytes))
  await once(socket, 'end')
  t.ok(performance.now() - startMs >= 40, 'no sooner than the round trip')
  t.ok(Buffer.concat(chunks).equals(sent))
})

void test('the end of one side is the end of the other', async (t) => {
  const backend = await startBackend(t)
  const socket = await dial(t, await relayTo(t, backend.port), Buffer.from('hello'))
  const upstream = await backend.socket(0)
  upstream.resume()
  socket.resetAndDestroy()
  await new Promise((resolve) => {
    upstream.once('close', resolve)
  })
  t.equal(upstream.errored?.message, 'read ECONNRESET')
})
