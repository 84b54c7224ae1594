import { laneName } from '../support/kernel-lane.ts'
import { createLinuxDriver } from '../support/linux-driver.ts'
import { relaySuite } from './relay-suite.ts'

for (const kernelLane of ['always', 'auto'] as const) relaySuite(`${laneName} at ${kernelLane}`, (options) => createLinuxDriver(options, { kernelLane }))
