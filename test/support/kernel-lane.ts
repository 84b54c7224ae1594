// Imported first, with `test` from here, by test files of the kernel lane: where the system does not let this user have one they are skipped.

import { driverName, test } from './linux-only.ts'
import { LaneMaps } from '../../src/relay/linux/kernel-lane/lane-maps.ts'

const placesMin = 32

try {
  new LaneMaps(placesMin).close()
} catch (error) {
  process.stdout.write(`TAP version 14\n1..0 # SKIP ${error instanceof Error ? error.message.replaceAll('\n', ' ') : String(error)}\n`)
  process.exit(0)
}

export { test }
export const laneName = `${driverName}, kernel lane`
