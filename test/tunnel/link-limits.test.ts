// What the links of an egress endure: they carry the streams of many nodes, which must not share one's fate.

import { test } from 'tap'
import { linkLimits, threadLinkLimits } from '../../src/tunnel/egress/link-limits.ts'
import { Peer, settle } from '../core/mux/two-peers.ts'

void test('all streams but one are reset at once: that one goes on', async (t) => {
  const [client, server] = [new Peer('client', { limits: linkLimits }), new Peer('server', { limits: linkLimits })]
  const other = client.open()
  for (let streams = 1; streams < linkLimits.streamsMax; streams++) {
    client.open()
    if (streams % 1_000 === 0) settle(client, server, streams)
  }
  settle(client, server, linkLimits.streamsMax)
  t.equal(server.session.streamCount, linkLimits.streamsMax)
  for (const { stream } of client.streams.values()) if (stream !== other.stream) stream.reset()
  settle(client, server, linkLimits.streamsMax)
  t.equal(server.end, undefined)
  t.equal(server.session.streamCount, 1)
  other.write(Buffer.from('still here'))
  settle(client, server, linkLimits.streamsMax)
  t.equal(server.streams.get(other.stream.id)?.text, 'still here')
})

void test('threads that were paused together take each other up again', async (t) => {
  const [client, server] = [new Peer('client', { limits: threadLinkLimits }), new Peer('server', { limits: threadLinkLimits })]
  const stream = client.open()
  const dayMs = 86_400_000
  for (const { session } of [client, server]) session.tick(dayMs)
  settle(client, server, dayMs)
  t.same([client.end, server.end], [undefined, undefined])
  stream.write(Buffer.from('still here'))
  settle(client, server, dayMs)
  t.equal(server.streams.get(stream.stream.id)?.text, 'still here')
})
