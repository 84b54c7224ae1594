import { test } from 'tap'
import { giveBack, lend, readBufferBytes, takeReadBuffer } from '../../../src/core/tunnel/read-buffers.ts'

void test('a buffer that was lent and given back is taken again', async (t) => {
  const buffer = takeReadBuffer()
  t.equal(buffer.length, readBufferBytes)
  const bytes = lend(buffer, 50_000)
  t.equal(bytes.length, 50_000)
  t.not(takeReadBuffer(), buffer, 'it is not there before')
  giveBack(bytes)
  t.equal(takeReadBuffer(), buffer)
})

void test('it is given back once', async (t) => {
  const buffer = takeReadBuffer()
  const bytes = lend(buffer, 50_000)
  giveBack(bytes)
  giveBack(bytes)
  t.equal(takeReadBuffer(), buffer)
  t.not(takeReadBuffer(), buffer)
})

void test('of a part of what was lent, and of what was not, nothing becomes', async (t) => {
  const buffer = takeReadBuffer()
  const bytes = lend(buffer, readBufferBytes)
  giveBack(bytes.subarray(0, 60_000))
  giveBack(buffer)
  giveBack(new Uint8Array(readBufferBytes))
  t.not(takeReadBuffer(), buffer)
})

void test('few are kept', async (t) => {
  const all = Array.from({ length: 100 }, () => lend(takeReadBuffer(), readBufferBytes))
  const buffers = new Set(all.map((bytes) => bytes.buffer))
  for (const bytes of all) giveBack(bytes)
  let again = 0
  for (let takes = 0; takes < 100; takes++) if (buffers.has(takeReadBuffer().buffer)) again += 1
  t.equal(again, 16)
})
