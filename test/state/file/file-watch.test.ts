// What a watch does when it is closed; what it tells is a rule of test/compliance/store-suite.ts.

import { test } from 'tap'
import { FileWatch } from '../../../src/state/file/file-watch.ts'

void test('closed in the middle of a read it tells nothing more, and has ended when that has', async (t) => {
  const { promise: answered, resolve: answer } = Promise.withResolvers<undefined>()
  const told: string[] = []
  const watch = new FileWatch({
    source: { get: async () => await answered, list: async () => [] },
    readFeed: async () => undefined,
    prefix: 'sessions',
    watcher: { all: () => void told.push('all'), put: () => void told.push('put'), removed: () => void told.push('removed'), away: () => void told.push('away'), back: () => void told.push('back') },
    closed: () => void told.push('closed'),
  })
  await watch.begin()
  watch.changed('sessions/a')
  watch.close()
  const ended = watch.ended().then(() => told.push('ended'))
  await new Promise((resolve) => setImmediate(resolve))
  t.same(told, ['all', 'closed'])
  answer(undefined)
  await ended
  t.same(told, ['all', 'closed', 'ended'])
})
