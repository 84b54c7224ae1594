import { readFileSync } from 'node:fs'
import { test } from 'tap'
import { descriptorsAtOnceMax, growDescriptorTable } from '../../../src/relay/linux/descriptor-table.ts'
import { openDescriptors } from '../../support/linux-driver.ts'

/** What the table has room for. */
function tableSize(): number {
  return Number(/^FDSize:\s+(\d+)$/m.exec(readFileSync('/proc/self/status', 'utf8'))?.[1])
}

void test('the table is as large as it will have to be, and nothing is left open', (t) => {
  const [before, size] = [openDescriptors(), tableSize()]
  growDescriptorTable(4 * size)
  t.ok(tableSize() >= 4 * size, `${tableSize()}, and ${size} before`)
  t.equal(openDescriptors(), before)
  t.end()
})

void test('a process that may have very many has room for some of them, or for what its limit allows', (t) => {
  const before = openDescriptors()
  growDescriptorTable(Number.MAX_SAFE_INTEGER)
  t.ok(tableSize() <= descriptorsAtOnceMax)
  t.equal(openDescriptors(), before)
  t.end()
})
