// A process that holds a lease, and when that has run out says so, shows what its calls get, and takes a new one: to be paused.

import { FileStore } from '../../../src/state/file/file-store.ts'
import { storeLimits } from '../../../src/state/store.ts'

const [directory = ''] = process.argv.slice(2)
const store = await FileStore.open(directory)
const ttlMs = storeLimits.leaseTtlMsMin
const lease = await store.lease({
  ttlMs,
  lost: (why) => {
    process.stdout.write(`lost: ${why}\n`)
    void again()
  },
})
await lease.put('held/first', 'x')
setInterval(() => undefined, 1_000)

async function again(): Promise<void> {
  await lease.put('held/late', 'x').catch((error: unknown) => process.stdout.write(`refused: ${error instanceof Error ? error.message : String(error)}\n`))
  await (await store.lease({ ttlMs, lost: () => undefined })).put('held/again', 'x')
}
