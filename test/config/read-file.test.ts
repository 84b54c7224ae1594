// The bytes of a configuration file: what is no bounded text is refused before it is parsed.

import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'tap'
import { fileBytesMax, readConfigFile } from '../../src/config/read-file.ts'

void test('a file is read whole, whatever its size in chunks', async (t) => {
  const file = join(t.testdir(), 'x.yaml')
  for (const text of ['', 'é', `${'x'.repeat(1024 * 1024 - 1)}é${'x'.repeat(100)}`]) {
    writeFileSync(file, text)
    t.ok(readConfigFile(file) === text, `${text.length} characters`)
  }
})

void test('what can not be read is one clear error', async (t) => {
  const directory = t.testdir()
  t.throws(() => readConfigFile(join(directory, 'none.yaml')), { code: 'CONFIG_INVALID', message: /none\.yaml: can't be read: ENOENT/ })
  t.throws(() => readConfigFile(directory), { code: 'CONFIG_INVALID', message: /can't be read: EISDIR/ })
})

void test('a file without end is refused at the bound', async (t) => {
  t.throws(() => readConfigFile('/dev/zero'), { code: 'CONFIG_INVALID', message: `/dev/zero: the file is too large; expected at most ${fileBytesMax} bytes` })
})

void test('bytes that are no UTF-8 are refused with their line', async (t) => {
  const file = join(t.testdir(), 'x.yaml')
  writeFileSync(file, Buffer.from('listeners:\n# caf\xe9\n', 'latin1'))
  t.throws(() => readConfigFile(file), { code: 'CONFIG_INVALID', message: /x\.yaml:2:1: bytes that are no UTF-8; expected text in UTF-8/ })
})
