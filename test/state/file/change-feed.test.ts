// Which keys have changed, told over feeds that are put aside one after the other.

import { join } from 'node:path'
import { test } from 'tap'
import { ChangeFeed } from '../../../src/state/file/change-feed.ts'

void test('what was appended before a reader asks is told to it, also behind a feed that was put aside since it looked', async (t) => {
  const file = join(t.testdir(), 'changes')
  const [reader, writer] = [new ChangeFeed(file), new ChangeFeed(file)]
  const heard = new Set<string>()
  let missed = 0
  const listening = await reader.listen({ changed: (key) => heard.add(key), missed: () => missed++, failed: (error) => t.fail(error.message) })
  t.teardown(() => listening.close())
  // Each time as much as a feed may have.
  const much = Array.from({ length: 6_000 }, (_, index) => `nodes/acme/${String(index).padStart(40, '0')}`)
  for (let time = 0; time < 10; time++) {
    await writer.append(much)
    await writer.append([`nodes/acme/last-${time}`])
    await reader.readNow()
    t.ok(heard.has(`nodes/acme/last-${time}`), `feed ${time}`)
  }
  t.equal(missed, 0)
})
