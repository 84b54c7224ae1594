// Our session with hashicorp/yamux as its peer: both roles, over TCP and over WebSocket. The cases are those of its own
// session_test.go, as far as they can be seen from outside.

import { createHash } from 'node:crypto'
import { test } from 'tap'
import { initialWindowBytes } from '../../../src/core/mux/window.ts'
import { buildPeer, Collected, connectToPeer, pattern, type PeerOptions } from './peer.ts'

const skip = await buildPeer() ?? false

const variants: readonly Pick<PeerOptions, 'theirRole' | 'transport'>[] = [
  { theirRole: 'server', transport: 'tcp' },
  { theirRole: 'client', transport: 'tcp' },
  { theirRole: 'server', transport: 'websocket' },
  { theirRole: 'client', transport: 'websocket' },
]

for (const variant of variants) {
  void test(`with yamux as ${variant.theirRole}, over ${variant.transport}`, { skip }, async (t) => {
    await t.test('an echo, half-closed by us', async (t) => {
      const { ask } = await connectToPeer(t, variant)
      const stream = ask('echo')
      stream.stream.write(Buffer.from('hello'))
      stream.stream.finish()
      t.equal(await stream.ended.promise, 'finished')
      t.equal(stream.text, 'hello')
    })

    await t.test('half-closed by the peer, we may write on', async (t) => {
      const { ask, link } = await connectToPeer(t, variant)
      const stream = ask('close')
      t.equal(await stream.ended.promise, 'finished')
      for (let count = 0; count < 10; count++) stream.stream.write(Buffer.alloc(100_000))
      stream.stream.finish()
      const after = ask('echo')
      after.stream.finish()
      await after.ended.promise
      t.equal(link.session.end, undefined)
    })

    await t.test('bulk to the peer, with its checksum', async (t) => {
      const { ask } = await connectToPeer(t, variant)
      const bytes = pattern(20_000_000)
      const stream = ask('sum')
      stream.stream.write(bytes)
      stream.stream.finish()
      await stream.ended.promise
      t.equal(stream.text, createHash('sha256').update(bytes).digest('hex'))
    })

    await t.test('bulk from the peer, byte for byte, through windows many times smaller', async (t) => {
      const { ask } = await connectToPeer(t, variant)
      const stream = ask('send 20000000')
      await stream.ended.promise
      t.ok(stream.bytes.equals(pattern(20_000_000)))
    })

    await t.test('many streams of ours at once', async (t) => {
      const { ask, link } = await connectToPeer(t, variant)
      const streams: ReturnType<typeof ask>[] = []
      for (let index = 0; index < 1_000; index++) {
        // No more at a time than the peer has backlog for.
        if (index % 200 === 0 && index > 0) await Promise.all(streams.slice(-200).map(async ({ ended }) => await ended.promise))
        const stream = ask('echo')
        stream.stream.write(Buffer.from(`stream ${index}`))
        stream.stream.finish()
        streams.push(stream)
      }
      await Promise.all(streams.map(async ({ ended }) => await ended.promise))
      t.same(streams.map(({ text }) => text), streams.map((_, index) => `stream ${index}`))
      t.equal(link.session.streamCount, 0)
    })

    await t.test('many streams of the peer at once, each echoed by us', async (t) => {
      const { ask } = await connectToPeer(t, variant)
      const stream = ask('open 1000 30000')
      await stream.ended.promise
      t.equal(stream.text, 'ok 1000')
    })

    await t.test('more streams than its backlog: those it refuses are reset, and the session lives', async (t) => {
      const { link, ask } = await connectToPeer(t, { ...variant, limits: { unacknowledgedMax: 10_000 } })
      const streams = Array.from({ length: 2_000 }, () => ask('echo'))
      for (const { stream } of streams) stream.finish()
      const ends = await Promise.all(streams.map(async ({ ended }) => await ended.promise))
      t.ok(ends.includes('finished'))
      t.equal(link.session.end, undefined)
    })

    await t.test('a stalled stream fills its window, and no other waits for it', async (t) => {
      const { ask, link } = await connectToPeer(t, variant)
      const stalled = ask('stall')
      stalled.stream.write(Buffer.alloc(1_000_000))
      const other = ask('echo')
      other.stream.write(Buffer.from('past it'))
      other.stream.finish()
      await other.ended.promise
      t.equal(other.text, 'past it')
      t.ok(stalled.stream.queuedBytes >= 1_000_000 - initialWindowBytes, `${link.session.queuedBytes} B wait`)
    })

    await t.test('credit returned in small parts', async (t) => {
      const received = Promise.withResolvers<number>()
      let bytes = 0
      const { ask } = await connectToPeer(t, {
        ...variant,
        opened: (stream) => ({
          data: (chunk) => {
            bytes += chunk.length
            for (let left = chunk.length; left > 0; left -= 1_000) stream.consumed(Math.min(1_000, left))
          },
          finished: () => {
            received.resolve(bytes)
            stream.finish()
          },
          reset: () => received.resolve(-1),
          writable: () => undefined,
        }),
      })
      ask('open 1 3000000')
      t.equal(await received.promise, 3_000_000)
    })

    await t.test('writing while the peer writes', async (t) => {
      const { ask } = await connectToPeer(t, variant)
      const bytes = pattern(5_000_000)
      const stream = ask('echo')
      stream.stream.write(bytes)
      stream.stream.finish()
      await stream.ended.promise
      t.ok(stream.bytes.equals(bytes))
    })

    await t.test('a reset before the peer has acknowledged, or while it sends', async (t) => {
      const { ask, link } = await connectToPeer(t, variant)
      for (let count = 0; count < 50; count++) ask('send 10000000').stream.reset()
      const busy = ask('send 10000000')
      await new Promise<void>((resolve) => {
        busy.onData = () => resolve()
      })
      busy.stream.reset()
      const after = ask('echo')
      after.stream.finish()
      t.equal(await after.ended.promise, 'finished')
      t.equal(link.session.end, undefined)
    })

    await t.test('pings both ways', async (t) => {
      const { ask, link } = await connectToPeer(t, variant)
      const stream = ask('ping')
      await stream.ended.promise
      t.match(stream.text, /^\d+ ?<nil>$/)
      t.ok((link.session.rttMs ?? -1) >= 0)
    })

    await t.test('go-away by the peer, and by us', async (t) => {
      const theirs = await connectToPeer(t, variant)
      const stream = theirs.ask('goaway')
      await stream.ended.promise
      t.ok(theirs.isGoingAway())
      t.equal(theirs.link.session.open(new Collected()), 'going-away')
      const ours = await connectToPeer(t, variant)
      const living = ours.ask('echo')
      ours.link.session.goAway(performance.now())
      living.stream.write(Buffer.from('still here'))
      living.stream.finish()
      await living.ended.promise
      t.equal(living.text, 'still here')
    })

    await t.test('the session closed with streams open', async (t) => {
      const { ask, link, end } = await connectToPeer(t, variant)
      const stream = ask('stall')
      link.closed('enough')
      t.equal(await stream.ended.promise, 'reset')
      t.same(await end, { reason: 'closed', detail: 'enough' })
    })
  })
}
