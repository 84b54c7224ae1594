// The queue in processes of their own: readers that stall or leave, and a disk that is full.

import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { closeSync, existsSync, openSync } from 'node:fs'
import { text } from 'node:stream/consumers'
import { fileURLToPath } from 'node:url'
import { test } from 'tap'

const log = fileURLToPath(new URL('../../src/observe/log.ts', import.meta.url))

/** A program with a `logger` to its standard output. */
function program(t: { teardown(end: () => void): void }, source: string, stdout: 'pipe' | number) {
  const child = spawn(process.execPath, [
    '--input-type=module', '--eval',
    `import { createLogger } from ${JSON.stringify(log)}\nconst logger = createLogger({})\n${source}`,
  ], { stdio: ['pipe', stdout, 'pipe'], env: {} })
  t.teardown(() => {
    child.kill('SIGKILL')
  })
  return child
}

void test('a reader that stalls does not stop the process; what did not fit is told once it reads again', async (t) => {
  const lines = 20_000
  const { stdin, stdout, stderr } = program(t, `
    for (let n = 0; n < ${lines}; n++) logger.info({ n, pad: 'x'.repeat(1000) }, 'line')
    setTimeout(() => process.stderr.write('alive'), 100)
    process.stdin.resume()
  `, 'pipe')
  if (stdin === null || stdout === null || stderr === null) throw new Error('bug: no pipes')
  const [word]: Buffer[] = await once(stderr, 'data')
  t.equal(word?.toString(), 'alive', 'with nothing read')
  stdin.end()
  const written = (await text(stdout)).trimEnd().split('\n').map((line): { n?: number; msg: string; dropped?: number } => JSON.parse(line))
  const last = written.pop()
  t.match(last, { level: 'warn', dropped: Number, msg: /were dropped/ })
  t.equal(written.length + (last?.dropped ?? 0), lines)
  t.ok(written.every(({ n }, index) => n === index), 'in order, the first ones')
})

void test('lines that come many at a time are kept or dropped together, and counted as lines', async (t) => {
  const batches = 1_000
  const { stdin, stdout, stderr } = program(t, `
    for (let n = 0; n < ${batches}; n++) logger.stream.give(new TextEncoder().encode((JSON.stringify({ n, pad: 'x'.repeat(1000) }) + '\\n').repeat(20)), 20)
    setTimeout(() => process.stderr.write('alive'), 100)
    process.stdin.resume()
  `, 'pipe')
  if (stdin === null || stdout === null || stderr === null) throw new Error('bug: no pipes')
  await once(stderr, 'data')
  stdin.end()
  const written = (await text(stdout)).trimEnd().split('\n').map((line): { n?: number; dropped?: number } => JSON.parse(line))
  const last = written.pop()
  t.ok(written.every(({ n }, index) => n === Math.floor(index / 20)), 'in order, the first ones')
  t.equal(written.length + (last?.dropped ?? 0), batches * 20)
})

void test('lines and batches are written in the order in which they came, at exit as well', async (t) => {
  const batches = 1_000
  for (const end of ['', 'process.exit(0)']) {
    const child = program(t, `
      for (let n = 0; n < ${batches}; n++) {
        logger.info({ n, name: 'é€😀' }, 'alone')
        if (n % 40 === 3) logger.info({ n, pad: 'é'.repeat(100_000) }, 'alone')
        logger.stream.give(new TextEncoder().encode((JSON.stringify({ n, msg: '€' }) + '\\n').repeat(2)), 2)
      }
      ${end}
    `, 'pipe')
    if (child.stdout === null) throw new Error('bug: no pipe')
    child.stdin?.end()
    const written = (await text(child.stdout)).trimEnd().split('\n').map((line): { n: number; msg: string; name?: string } => JSON.parse(line))
    const expected = Array.from({ length: batches }, (_, n) => [[n, 'alone'], ...(n % 40 === 3 ? [[n, 'alone']] : []), [n, '€'], [n, '€']]).flat()
    t.same(written.map(({ n, msg }) => [n, msg]), expected, end)
    t.equal(written[0]?.name, 'é€😀')
  }
})

void test('the memory of bytes is given back once they are written, or dropped', async (t) => {
  const child = program(t, `
    const bytes = new TextEncoder().encode('{}\\n'.repeat(100_000))
    const tooMany = new Uint8Array(100_000_000)
    logger.stream.give(bytes, 100_000)
    logger.stream.give(tooMany, 1)
    setInterval(() => {
      if (bytes.buffer.detached && tooMany.buffer.detached) process.exit()
    }, 1)
  `, 'pipe')
  if (child.stdout === null) throw new Error('bug: no pipe')
  t.ok((await text(child.stdout)).startsWith('{}\n'.repeat(100_000)))
})

void test('a full disk is told on standard error, and neither a fatal line nor the exit waits for it', { skip: existsSync('/dev/full') ? false : 'no /dev/full' }, async (t) => {
  for (const [end, code] of [['', 0], ['process.exit(3)', 3], ['throw new Error("end")', 1]] as const) {
    const full = openSync('/dev/full', 'w')
    const child = program(t, `logger.info({}, 'one'); logger.fatal({}, 'two'); setTimeout(() => { logger.info({}, 'three'); ${end} }, 50)`, full)
    closeSync(full)
    const [[exitCode], complaint] = await Promise.all([once(child, 'exit'), child.stderr === null ? '' : text(child.stderr)])
    t.equal(exitCode, code, end)
    t.equal(complaint.match(/the log can't be written: ENOSPC/g)?.length, 1)
  }
})

void test('a reader that leaves does not end the process', async (t) => {
  const child = program(t, `
    process.stdin.once('data', () => {
      logger.info({}, 'to nobody')
      setTimeout(() => process.exit(7), 50)
    })
    logger.info({}, 'ready')
  `, 'pipe')
  if (child.stdout === null || child.stdin === null) throw new Error('bug: no pipes')
  await once(child.stdout, 'data')
  child.stdout.destroy()
  await once(child.stdout, 'close')
  child.stdin.write('go')
  const [exitCode] = await once(child, 'exit')
  t.equal(exitCode, 7)
})
