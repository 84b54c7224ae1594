import fc from 'fast-check'
import { test } from 'tap'
import { encodeHeader, frameFlag, frameType, goAwayCode, headerBytes } from '../../../src/core/mux/frame.ts'
import { muxLimits, type MuxLimits } from '../../../src/core/mux/limits.ts'
import { initialWindowBytes, WindowBudget } from '../../../src/core/mux/window.ts'
import { Peer, settle } from './two-peers.ts'

function pair(limits: Partial<MuxLimits> = {}): readonly [Peer, Peer] {
  return [new Peer('client', { limits }), new Peer('server', { limits })]
}

function rawFrame(type: number, flags: number, streamId: number, length: number, payload = Buffer.alloc(0)): Buffer {
  const header = Buffer.alloc(headerBytes)
  encodeHeader(header, 0, { type, flags, streamId, length })
  return Buffer.concat([header, payload])
}

/** What the session says at its end, in its last frame. */
function lastWord(peer: Peer): { readonly type: number | undefined; readonly code: number } {
  peer.wire = Buffer.alloc(0)
  peer.flush(0)
  const last = peer.wire.subarray(peer.wire.length - headerBytes)
  return { type: last[1], code: last.readUInt32BE(8) }
}

void test('a stream carries bytes both ways, and ends when both have finished', (t) => {
  const [client, server] = pair()
  const stream = client.open()
  stream.write(Buffer.from('early'))
  settle(client, server, 0)
  const answer = server.streams.get(1)
  t.equal(answer?.text, 'early')
  answer?.write(Buffer.from('answer'))
  answer?.stream.finish()
  settle(client, server, 0)
  t.same([stream.text, stream.ended, answer?.ended], ['answer', 'finished', 'no'])
  stream.write(Buffer.from(' and on'))
  stream.stream.finish()
  settle(client, server, 0)
  t.same([answer?.text, answer?.ended], ['early and on', 'finished'])
  t.same([client.session.streamCount, server.session.streamCount], [0, 0])
  t.end()
})

void test('SYN rides on early data; FIN is a frame of its own', (t) => {
  const [client] = pair()
  const { stream } = client.open()
  stream.write(Buffer.from('x'))
  stream.finish()
  client.flush(0)
  t.equal(client.wire.toString('hex'), ['000000010000000100000001', '78', '000100040000000100000000'].join(''))
  t.end()
})

void test('streams of the client are odd, of the server even, and both may open', (t) => {
  const [client, server] = pair()
  for (const peer of [client, server]) for (let count = 0; count < 2; count++) peer.open()
  settle(client, server, 0)
  t.same([...client.streams.keys()].toSorted((a, b) => a - b), [1, 2, 3, 4])
  t.same([...server.streams.keys()].toSorted((a, b) => a - b), [1, 2, 3, 4])
  t.end()
})

void test('a reader that takes nothing gets a window and no more, and the others go on', (t) => {
  const [client, server] = pair()
  server.takes = false
  const slow = client.open()
  slow.write(Buffer.alloc(1_000_000, 1))
  settle(client, server, 0)
  server.takes = true
  const quick = client.open()
  quick.write(Buffer.alloc(1_000_000, 2))
  settle(client, server, 0)
  t.same([server.streams.get(1)?.bytes, server.streams.get(3)?.bytes], [initialWindowBytes, 1_000_000])
  server.streams.get(1)?.take(initialWindowBytes / 2)
  settle(client, server, 0)
  t.equal(server.streams.get(1)?.bytes, initialWindowBytes * 1.5)
  t.end()
})

void test('a writer is told to pause, and to go on when most is sent', (t) => {
  const [client, server] = pair()
  const stream = client.open()
  t.ok(stream.stream.write(Buffer.alloc(muxLimits.sendHighWaterBytes - 1)))
  t.notOk(stream.stream.write(Buffer.alloc(1)))
  stream.writable_ = false
  client.flush(0, 1)
  t.notOk(stream.writable_)
  settle(client, server, 0)
  t.ok(stream.writable_)
  t.end()
})

void test('bytes are spent when the last of them is handed out', (t) => {
  const [client] = pair()
  const { stream } = client.open()
  stream.write(Buffer.alloc(100_000))
  client.flush(0, 1)
  t.equal(client.spentBytes, 0)
  client.flush(0)
  t.equal(client.spentBytes, 100_000)
  t.end()
})

void test('a reset is told to the other side, and to nobody twice', (t) => {
  const [client, server] = pair()
  const stream = client.open()
  stream.write(Buffer.from('x'))
  settle(client, server, 0)
  stream.stream.reset()
  stream.stream.reset()
  stream.write(Buffer.from('thrown away'))
  settle(client, server, 0)
  const other = server.streams.get(1)
  t.same([stream.ended, other?.ended, other?.text], ['no', 'reset', 'x'])
  t.same([client.session.counters.resetsSent, server.session.counters.resetsReceived], [1, 1])
  t.same([client.session.streamCount, server.session.streamCount], [0, 0])
  t.end()
})

void test('of a stream that was reset before it was sent, the peer hears nothing', (t) => {
  const [client, server] = pair()
  client.open().stream.reset()
  settle(client, server, 0)
  t.same([server.streams.size, server.session.counters.framesReceived], [0, 0])
  t.end()
})

void test('what is under way for a stream that was reset is thrown away, and the session goes on', (t) => {
  const [client, server] = pair()
  const stream = client.open()
  settle(client, server, 0)
  stream.write(Buffer.alloc(100_000))
  client.flush(0)
  server.streams.get(1)?.stream.reset()
  settle(client, server, 0)
  t.same([server.end, server.session.counters.strayBytes, stream.ended], [undefined, 100_000, 'reset'])
  t.end()
})

void test('a stream that is refused is reset', (t) => {
  const [client, server] = pair()
  server.accepts = false
  const stream = client.open()
  stream.write(Buffer.from('early'))
  settle(client, server, 0)
  t.same([stream.ended, server.session.streamCount, server.session.counters.streamsRefused, server.end], ['reset', 0, 1, undefined])
  t.end()
})

void test('streams over the limit are refused; one that is held counts though it is gone', (t) => {
  const [client, server] = pair({ streamsMax: 1 })
  const first = client.open()
  settle(client, server, 0)
  server.streams.get(1)?.stream.hold()
  first.stream.reset()
  const second = client.open()
  settle(client, server, 0)
  t.equal(second.ended, 'reset')
  server.streams.get(1)?.stream.release()
  const third = client.open()
  settle(client, server, 0)
  t.equal(third.ended, 'no')
  t.end()
})

void test('streams that nobody has acknowledged are bounded', (t) => {
  const [client, server] = pair({ unacknowledgedMax: 2 })
  client.open()
  client.open()
  t.equal(client.session.open(client.streams.get(1)!), 'backlog')
  settle(client, server, 0)
  t.equal(typeof client.session.open(client.streams.get(1)!), 'object')
  t.end()
})

void test('after go-away nobody opens streams but those that were on their way, and those that there are go on', (t) => {
  const [client, server] = pair()
  const stream = client.open()
  settle(client, server, 0)
  server.session.goAway(0)
  const crossing = client.open()
  settle(client, server, muxLimits.goAwayGraceMs - 1)
  t.same([client.away, crossing.ended, client.session.open(stream), server.session.open(stream)], [true, 'no', 'going-away', 'going-away'])
  stream.write(Buffer.from('still here'))
  settle(client, server, 0)
  t.equal(server.streams.get(1)?.text, 'still here')
  t.end()
})

void test('a stream that is opened long after go-away is refused', (t) => {
  const server = new Peer('server')
  server.session.goAway(0)
  server.session.receive(rawFrame(frameType.windowUpdate, frameFlag.syn, 1, 0), muxLimits.goAwayGraceMs)
  t.same([server.streams.size, server.session.counters.streamsRefused], [0, 1])
  t.end()
})

void test('silence ends a session, and pings keep one that is quiet', (t) => {
  const [client, server] = pair()
  let nowMs = 0
  for (; nowMs < 120_000; nowMs += 1_000) {
    for (const peer of [client, server]) peer.session.tick(nowMs)
    settle(client, server, nowMs)
  }
  t.same([client.end, server.end], [undefined, undefined])
  t.ok(client.session.counters.framesSent < 40, `${client.session.counters.framesSent} frames in two minutes`)
  const seen = client.open()
  t.ok(client.session.deadlineMs <= nowMs + muxLimits.pingIntervalMs)
  for (let silentMs = 0; silentMs <= muxLimits.silenceMs; silentMs += 1_000) client.session.tick(nowMs + silentMs)
  t.same([client.end, seen.ended, client.session.deadlineMs], [{ reason: 'silent' }, 'reset', Infinity])
  t.end()
})

void test('a window grows with the bandwidth and the round trip, as far as the budget goes', (t) => {
  const grown = (rttMs: number, budgetBytes: number): { readonly window: number; readonly budget: WindowBudget } => {
    const client = new Peer('client')
    const budget = new WindowBudget({ limitBytes: budgetBytes })
    const server = new Peer('server', { budget })
    const { stream } = client.open()
    let nowMs = 0
    // A wire that takes any amount, and half a round trip each way.
    for (let turn = 0; turn < 100; turn++, nowMs += rttMs / 2) {
      for (const peer of [client, server]) peer.session.tick(nowMs)
      while (stream.queuedBytes < 32 * 1024 * 1024) stream.write(Buffer.alloc(1024 * 1024))
      for (const peer of [client, server]) peer.flush(nowMs)
      const [up, down] = [client.wire, server.wire]
      client.wire = server.wire = Buffer.alloc(0)
      server.session.receive(up, nowMs + rttMs / 2)
      client.session.receive(down, nowMs + rttMs / 2)
    }
    const window = server.streams.get(1)!.stream.window.limitBytes
    stream.reset()
    settle(client, server, nowMs)
    return { window, budget }
  }
  t.equal(grown(80, 2 ** 30).window, 16 * 1024 * 1024)
  const poor = grown(80, 1_000_000)
  t.ok(poor.window > 2 * initialWindowBytes && poor.window <= initialWindowBytes + 1_000_000, `${poor.window} bytes`)
  t.ok(poor.budget.refusals > 0)
  t.equal(poor.budget.usedBytes, 0, 'it goes back with the stream')
  t.end()
})

const protocolErrors: Readonly<Record<string, readonly Buffer[]>> = {
  'another version': [Buffer.from('010000000000000000000000', 'hex')],
  'a type that there is not': [Buffer.from('000900000000000000000000', 'hex')],
  'data on stream 0': [rawFrame(frameType.data, 0, 0, 0)],
  'a stream opened by the wrong side': [rawFrame(frameType.windowUpdate, frameFlag.syn, 2, 0)],
  'a stream opened twice': [rawFrame(frameType.windowUpdate, frameFlag.syn, 1, 0), rawFrame(frameType.data, frameFlag.syn, 1, 0)],
  'more than the window': [rawFrame(frameType.data, frameFlag.syn, 1, initialWindowBytes + 1)],
  'a window over 32 bits': [rawFrame(frameType.windowUpdate, frameFlag.syn, 1, 0xffff_ffff)],
  'data for a stream of ours that was never opened': [rawFrame(frameType.data, 0, 2, 1)],
}

void test('what breaks the protocol ends the session, which says so', (t) => {
  for (const [what, frames] of Object.entries(protocolErrors)) {
    const server = new Peer('server')
    for (const bytes of frames) server.session.receive(bytes, 0)
    t.equal(server.end?.reason, 'protocol-error', what)
    t.same(lastWord(server), { type: frameType.goAway, code: goAwayCode.protocolError }, what)
    server.session.receive(rawFrame(frameType.ping, 1, 0, 0), 0)
    server.wire = Buffer.alloc(0)
    server.flush(0)
    t.equal(server.wire.length, 0, `${what}: and nothing afterwards`)
  }
  t.end()
})

const floods: Readonly<Record<string, (index: number) => Buffer>> = {
  'resets: of streams over the limit': (index) => rawFrame(frameType.windowUpdate, frameFlag.syn | frameFlag.fin, 2 * index + 1, 0),
  'resets: rapid reset': (index) => Buffer.concat([rawFrame(frameType.windowUpdate, frameFlag.syn, 2 * index + 1, 0), rawFrame(frameType.windowUpdate, frameFlag.rst, 2 * index + 1, 0)]),
  'resets: of streams that are gone': () => rawFrame(frameType.windowUpdate, frameFlag.rst, 1, 0),
  'resets: data behind FIN makes us reset': (index) => Buffer.concat([rawFrame(frameType.windowUpdate, frameFlag.syn | frameFlag.fin, 2 * index + 1, 0), rawFrame(frameType.data, 0, 2 * index + 1, 1, Buffer.from('x'))]),
  pings: (index) => rawFrame(frameType.ping, frameFlag.syn, 0, index),
  'empty: data': () => rawFrame(frameType.data, 0, 1, 0),
  'empty: updates': () => rawFrame(frameType.windowUpdate, 0, 1, 0),
  updates: () => rawFrame(frameType.windowUpdate, 0, 1, 1),
  'stray: data for nobody': () => rawFrame(frameType.data, 0, 1, 1_000, Buffer.alloc(1_000)),
}

void test('a peer that opens streams faster than it may is a flood', (t) => {
  const server = new Peer('server', { limits: { streamsMax: 100_000 } })
  let opens = 0
  for (; server.end === undefined; opens++) server.session.receive(rawFrame(frameType.windowUpdate, frameFlag.syn, 2 * opens + 1, 0), 0)
  t.same([server.end, opens], [{ reason: 'flood', kind: 'opens' }, muxLimits.rates.opens.burst + 1])
  t.end()
})

void test('who resets every stream is no flood at the speed at which streams are served, and is one beyond it', (t) => {
  const seconds = (perSecond: number): number => {
    const server = new Peer('server')
    for (let opened = 0; opened < 5 * perSecond; opened++) {
      const nowMs = opened / perSecond * 1_000
      server.session.receive(Buffer.concat([rawFrame(frameType.windowUpdate, frameFlag.syn, 2 * opened + 1, 0), rawFrame(frameType.windowUpdate, frameFlag.rst, 2 * opened + 1, 0)]), nowMs)
      if (server.end !== undefined) {
        t.same(server.end, { reason: 'flood', kind: 'resets' }, `${perSecond} a second`)
        return nowMs / 1_000
      }
      server.flush(nowMs)
      server.wire = Buffer.alloc(0)
    }
    return Infinity
  }
  for (const honest of [6_600, 9_900]) t.equal(seconds(honest), Infinity, `${honest} a second`)
  t.ok(seconds(13_000) < 5)
  t.ok(seconds(19_000) < 2)
  t.end()
})

void test('every flood ends the session, and what it made us keep is bounded', (t) => {
  for (const [what, frame] of Object.entries(floods)) {
    const server = new Peer('server')
    let frames = 0
    for (; frames < 300_000 && server.end === undefined; frames++) {
      server.session.receive(frame(frames), 0)
      // It reads what it makes us answer.
      server.flush(0)
      server.wire = Buffer.alloc(0)
    }
    t.match(server.end, { reason: 'flood', kind: what.split(':')[0] }, `${what}: after ${frames}`)
    t.equal(server.session.streamCount, 0)
  }
  t.end()
})

void test('a peer that does not read what it makes us answer is a flood too', (t) => {
  const server = new Peer('server', { limits: { controlFramesMax: 10, streamsMax: 0 } })
  for (let index = 0; index < 12; index++) server.session.receive(rawFrame(frameType.windowUpdate, frameFlag.syn, 2 * index + 1, 0), 0)
  t.same(server.end, { reason: 'flood', kind: 'control' })
  t.end()
})

void test('an interactive stream is not behind bulk, and bulk is not starved', (t) => {
  const [client, server] = pair()
  const bulk = [client.open(), client.open()]
  for (const stream of bulk) stream.write(Buffer.alloc(200_000))
  client.flush(0, 6)
  const interactive = client.open()
  interactive.write(Buffer.from('exec'))
  client.wire = Buffer.alloc(0)
  client.flush(0, 1)
  t.equal(client.wire.readUInt32BE(4), 5, 'the next frame is its own')
  // One that always has a little to say again.
  for (let turn = 0; turn < 20; turn++) {
    interactive.write(Buffer.from('exec'))
    client.flush(0, 2)
  }
  for (const stream of bulk) t.ok(stream.stream.queuedBytes < 150_000)
  t.equal(server.end, undefined)
  t.end()
})

void test('bulk that had to wait for credit does not come back as if it were new', (t) => {
  const [client, server] = pair()
  server.takes = false
  const bulk = client.open()
  bulk.write(Buffer.alloc(600_000))
  settle(client, server, 0)
  const other = client.open()
  other.write(Buffer.alloc(100_000))
  client.flush(0, 2)
  server.streams.get(1)?.take(initialWindowBytes)
  server.flush(0)
  server.deliver(client, 0)
  const interactive = client.open()
  interactive.write(Buffer.from('exec'))
  client.wire = Buffer.alloc(0)
  client.flush(0, 2)
  t.equal(client.wire.readUInt32BE(4), 0, 'the answer to a ping')
  t.equal(client.wire.readUInt32BE(headerBytes + 4), 5)
  t.end()
})

void test('bulky streams share alike', (t) => {
  const [client] = pair()
  const streams = [client.open(), client.open(), client.open()]
  for (const stream of streams) for (let count = 0; count < 20; count++) stream.write(Buffer.alloc(10_000))
  client.flush(0, 30)
  const left = streams.map(({ stream }) => stream.queuedBytes)
  t.ok(Math.max(...left) - Math.min(...left) <= muxLimits.sharedFrameBytesMax * 2, left.join(' '))
  t.end()
})

type Action =
  | { readonly kind: 'open' | 'finish' | 'reset' | 'take'; readonly peer: 0 | 1; readonly stream: number }
  | { readonly kind: 'write'; readonly peer: 0 | 1; readonly stream: number; readonly bytes: number }
  | { readonly kind: 'flush' | 'deliver'; readonly peer: 0 | 1; readonly count: number }
  | { readonly kind: 'wait'; readonly peer: 0 | 1; readonly ms: number }

const peerIndex = fc.constantFrom(0 as const, 1 as const)
const action: fc.Arbitrary<Action> = fc.oneof(
  fc.record({ kind: fc.constantFrom('open' as const, 'finish' as const, 'take' as const, 'take' as const), peer: peerIndex, stream: fc.nat(7) }),
  fc.record({ kind: fc.constant('reset' as const), peer: peerIndex, stream: fc.nat(30) }),
  fc.record({ kind: fc.constant('write' as const), peer: peerIndex, stream: fc.nat(7), bytes: fc.oneof(fc.nat(200), fc.nat(400_000)) }),
  fc.record({ kind: fc.constant('flush' as const), peer: peerIndex, count: fc.nat(12) }),
  fc.record({ kind: fc.constant('deliver' as const), peer: peerIndex, count: fc.oneof(fc.nat(30), fc.nat(300_000)) }),
  fc.record({ kind: fc.constant('wait' as const), peer: peerIndex, ms: fc.nat(3_000) }),
)

/** Bytes that tell where in a stream they are. */
function pattern(from: number, bytes: number): Buffer {
  return Buffer.from(Uint8Array.from({ length: bytes }, (_, index) => (from + index) * 31 >>> 3))
}

void test('two peers over a wire of any timing: bytes in order, exactly once, and the same end for both', (t) => {
  fc.assert(fc.property(fc.array(action, { minLength: 20, maxLength: 150 }), (actions) => {
    const peers = pair()
    for (const peer of peers) peer.takes = false
    const written = [new Map<number, number>(), new Map<number, number>()] as const
    const resetBy = new Set<string>()
    let nowMs = 0
    for (const each of actions) {
      const peer = peers[each.peer]
      const seen = 'stream' in each ? [...peer.streams.values()][each.stream] : undefined
      switch (each.kind) {
        case 'open': if (peer.streams.size < 8) peer.open(); break
        case 'write': {
          if (seen === undefined || seen.stream.closed || seen.stream.flow.finishing) break
          const from = written[each.peer].get(seen.stream.id) ?? 0
          seen.write(pattern(from, each.bytes))
          written[each.peer].set(seen.stream.id, from + each.bytes)
          break
        }
        case 'finish': seen?.stream.finish(); break
        case 'reset':
          if (seen !== undefined && !seen.stream.closed) resetBy.add(`${seen.stream.id}`)
          seen?.stream.reset()
          break
        case 'take': if (seen !== undefined) seen.take(seen.bytes - seen.taken); break
        case 'flush': peer.flush(nowMs, each.count); break
        case 'deliver': peer.deliver(peers[1 - each.peer as 0 | 1], nowMs, each.count); break
        case 'wait': nowMs += each.ms; for (const one of peers) one.session.tick(nowMs); break
        default: each satisfies never
      }
    }
    for (let round = 0; round < 100; round++) {
      settle(peers[0], peers[1], nowMs)
      for (const peer of peers) for (const seen of peer.streams.values()) if (seen.bytes > seen.taken) seen.take(seen.bytes - seen.taken)
    }
    if (peers[0].end !== undefined || peers[1].end !== undefined) return nowMs >= muxLimits.silenceMs && peers[0].end?.reason === 'silent'
    for (const index of [0, 1] as const) {
      for (const [id, seen] of peers[index].streams) {
        const sent = written[1 - index as 0 | 1].get(id) ?? 0
        const got = Buffer.concat(seen.chunks)
        if (!got.equals(pattern(0, sent).subarray(0, got.length))) return false
        const wasReset = resetBy.has(String(id))
        if (!wasReset && got.length !== sent) return false
        const other = peers[1 - index as 0 | 1].streams.get(id)
        if (!wasReset && (seen.ended === 'finished') !== (other?.stream.flow.finishing ?? false)) return false
        if (!wasReset && seen.ended === 'reset') return false
        if (wasReset && !seen.stream.closed) return false
      }
    }
    return peers.every((peer) => peer.budget.usedBytes >= 0 && peer.session.queuedBytes === 0)
  }), { numRuns: 400 })
  t.end()
})
