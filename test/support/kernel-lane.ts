// Imported first, with `test` from here, by test files of the kernel lane: where the system does not let this user have one they are skipped.

import { driverName, test } from './linux-only.ts'
import { LaneMaps, lanePlacesFor } from '../../src/relay/linux/kernel-lane/lane-maps.ts'

try {
  new LaneMaps(lanePlacesFor(1)).close()
} catch (error) {
  process.stdout.write(`TAP version 14\n1..0 # SKIP ${error instanceof Error ? error.message.replaceAll('\n', ' ') : String(error)}\n`)
  process.exit(0)
}

export { test }
export const laneName = `${driverName}, kernel lane`
