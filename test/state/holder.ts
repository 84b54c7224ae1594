// A process that holds a lease, and when that has run out says so, shows what its calls get, and takes a new one: to be paused.

import type { StateConfig } from '../../src/config/config.ts'
import { openStore } from '../../src/state/open-store.ts'
import { storeLimits } from '../../src/state/store.ts'

const state: StateConfig = JSON.parse(process.argv[2] ?? '')
const store = await openStore(state, '/')
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
