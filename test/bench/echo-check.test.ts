// What counts as an echo, in whatever pieces it comes.

import { test } from 'tap'
import { EchoCheck } from '../../bench/load/echo-check.ts'
import { allocate } from '../../src/relay/linux/libc.ts'

const loop = { incoming: allocate(4096), outgoing: allocate(4096) }
const hello = Buffer.from('hello, whole')
const payloadBytes = 16

function newCheck(): EchoCheck {
  return new EchoCheck({ loop, hello, payloadBytes, slots: 2 })
}

/** The next request of a slot, as it goes out. */
function requestOf(check: EchoCheck, slot: number): Buffer {
  check.nextRequest(slot)
  return Buffer.from(loop.outgoing.bytes.subarray(0, payloadBytes))
}

/** What the check says of each piece. */
function take(check: EchoCheck, slot: number, ...pieces: readonly Uint8Array[]): readonly string[] {
  return pieces.map((piece) => {
    loop.incoming.bytes.fill(0)
    loop.incoming.bytes.set(piece)
    return check.take(slot, piece.length)
  })
}

void test('an echo is complete however it is cut', async (t) => {
  const check = newCheck()
  for (let cut = 1; cut < hello.length; cut += 1) {
    check.expectHello(0)
    t.same(take(check, 0, hello.subarray(0, cut), hello.subarray(cut)), ['partial', 'complete'], `hello cut at ${cut}`)
  }
  for (let cut = 1; cut < payloadBytes; cut += 1) {
    const request = requestOf(check, 0)
    t.same(take(check, 0, request.subarray(0, cut), request.subarray(cut)), ['partial', 'complete'], `request cut at ${cut}`)
  }
  t.same(take(check, 0, requestOf(check, 0)), ['complete'])
})

void test('an echo that differs in any byte is wrong, whole or in pieces', async (t) => {
  const check = newCheck()
  for (let at = 0; at < payloadBytes; at += 1) {
    const request = requestOf(check, 0)
    request.writeUInt8((request[at] ?? 0) ^ 1, at)
    t.same(take(check, 0, request), ['wrong'], `byte ${at}`)
    t.match(take(check, 0, request.subarray(0, 8), request.subarray(8)).at(-1), 'wrong', `byte ${at}, in pieces`)
  }
})

void test('an echo that is too long is wrong', async (t) => {
  const check = newCheck()
  const request = requestOf(check, 0)
  t.same(take(check, 0, Buffer.concat([request, request])), ['wrong'])
  check.expectHello(0)
  t.same(take(check, 0, Buffer.concat([hello, hello])), ['wrong'])
})

void test('an answer to another request, or another connection\'s, is wrong', async (t) => {
  const check = newCheck()
  const [first, second, other] = [requestOf(check, 0), requestOf(check, 0), requestOf(check, 1)]
  t.same(take(check, 0, first), ['wrong'])
  t.same(take(check, 0, other), ['wrong'])
  t.same(take(check, 0, second), ['complete'])
  t.same(take(check, 1, other), ['complete'])
})

void test('a request is made of words, and small', async (t) => {
  for (const bytes of [6, 8192]) t.throws(() => new EchoCheck({ loop, hello, payloadBytes: bytes, slots: 1 }), RangeError)
})
