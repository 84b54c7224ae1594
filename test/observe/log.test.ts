import { spawnSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { test } from 'tap'
import { createLogger } from '../../src/observe/log.ts'
import { textStream } from '../support/kept-lines.ts'

void test('a line is one JSON object with level, time and message', async (t) => {
  const lines: string[] = []
  const logger = createLogger({ level: 'info', stream: textStream((line) => lines.push(line)) })
  logger.debug({}, 'not shown')
  logger.warn({ err: new Error('broken'), name: 'a\nb' }, 'message')
  t.equal(lines.length, 1)
  t.equal(lines[0]?.indexOf('\n'), (lines[0]?.length ?? 0) - 1)
  t.match(JSON.parse(lines[0] ?? ''), { level: 'warn', msg: 'message', name: 'a\nb', err: { message: 'broken', stack: /Error: broken/ }, time: /^\d{4}-\d\d-\d\dT/ })
})

void test('a level that there is not is refused with those that there are', async (t) => {
  t.throws(() => createLogger({ level: 'loud' }), { code: 'LOG_LEVEL', message: 'SLUICE_LOG_LEVEL is "loud"; expected one of trace, debug, info, warn, error, fatal, silent' })
})

void test('the last lines before the process ends are on standard output', async (t) => {
  const log = fileURLToPath(new URL('../../src/observe/log.ts', import.meta.url))
  for (const end of ['', 'process.exit(3)', 'setImmediate(() => { throw new Error("end") })']) {
    const program = `import { createLogger } from ${JSON.stringify(log)}; const logger = createLogger({}); for (let n = 0; n < 5000; n++) logger.info({ n }, 'line'); ${end}`
    const { stdout } = spawnSync(process.execPath, ['--input-type=module', '--eval', program], { encoding: 'utf8', env: {} })
    const lines = stdout.trimEnd().split('\n')
    t.equal(lines.length, 5_000, end)
    t.match(JSON.parse(lines.at(-1) ?? ''), { n: 4_999 })
  }
})
