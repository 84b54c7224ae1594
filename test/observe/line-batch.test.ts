import { test } from 'tap'
import { LineBatch } from '../../src/observe/line-batch.ts'
import type { LineBytes } from '../../src/observe/log.ts'

function batchOf() {
  const flushed: [text: string, lines: number][] = []
  const take = (bytes: LineBytes, lines: number): void => {
    if (bytes.byteLength !== bytes.buffer.byteLength) throw new Error('not the only one in its buffer')
    flushed.push([new TextDecoder().decode(bytes), lines])
  }
  return { flushed, batch: new LineBatch({ bytesMax: 10, ageMsMax: 100, flushed: take }) }
}

void test('lines wait for one another until they are many', async (t) => {
  const { batch, flushed } = batchOf()
  batch.write('one\n')
  batch.append(new TextEncoder().encode('2\n'))
  t.same(flushed, [])
  batch.write('four\n')
  t.same(flushed, [['one\n2\nfour\n', 3]])
  batch.flush()
  t.equal(flushed.length, 1, 'nothing is left')
})

void test('lines wait no longer than they may, and the thread is told how long it may', async (t) => {
  const { batch, flushed } = batchOf()
  t.equal(batch.flushIfDue(0), Infinity)
  batch.write('one\n')
  t.equal(batch.flushIfDue(1_000), 100)
  batch.write('two\n')
  t.equal(batch.flushIfDue(1_070), 30, 'counted from the first')
  t.same(flushed, [])
  t.equal(batch.flushIfDue(1_100), Infinity)
  t.same(flushed, [['one\ntwo\n', 2]])
  batch.write('three\n')
  t.equal(batch.flushIfDue(1_150), 100, 'the next batch has a time of its own')
})

void test('a line of any text comes out as it went in, and one that is longer than a batch goes by itself', async (t) => {
  const { batch, flushed } = batchOf()
  batch.write('é€😀\n')
  t.same(flushed, [['é€😀\n', 1]])
  batch.write('one\n')
  const long = `${'€'.repeat(11)}\n`
  batch.write(long)
  t.same(flushed.slice(1), [['one\n', 1], [long, 1]])
  const longer = `${'x'.repeat(31)}\n`
  batch.append(new TextEncoder().encode(longer))
  t.same(flushed.slice(3), [[longer, 1]])
})

void test('a line of bytes is its writer’s again as soon as it has been appended', async (t) => {
  const { batch, flushed } = batchOf()
  const bytes = new TextEncoder().encode('one\n')
  batch.append(bytes)
  bytes.fill(0)
  batch.flush()
  t.same(flushed, [['one\n', 1]])
  const kept: LineBytes[] = []
  const long = Buffer.alloc(31, 'x')
  new LineBatch({ bytesMax: 10, ageMsMax: 100, flushed: (its) => kept.push(its) }).append(long)
  long.fill(0)
  t.same(kept.map((its) => new TextDecoder().decode(its)), ['x'.repeat(31)], 'one that is longer than a batch, too')
})

void test('bytes go on as they are, after the lines that came before', async (t) => {
  const taken: LineBytes[] = []
  const batch = new LineBatch({ bytesMax: 10, ageMsMax: 100, flushed: (bytes) => taken.push(bytes) })
  const bytes = new TextEncoder().encode('2\n3\n')
  batch.write('one\n')
  batch.give(bytes, 2)
  t.equal(taken.length, 2)
  t.same(taken[0], new TextEncoder().encode('one\n'))
  t.equal(taken[1], bytes, 'themselves')
  t.equal(batch.flushIfDue(0), Infinity, 'nothing waits')
})
