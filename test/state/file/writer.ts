// A process that counts up keys of a store as fast as it can, and says each number once it is acknowledged: to be killed.

import { FileStore } from '../../../src/state/file/file-store.ts'

const [directory = '', key = ''] = process.argv.slice(2)
const store = await FileStore.open(directory)
for (;;) {
  const entry = await store.get(key)
  const next = Number(entry?.value ?? 0) + 1
  if (await store.put(key, String(next), entry?.revision ?? 0) !== undefined) process.stdout.write(`${next}\n`)
}
