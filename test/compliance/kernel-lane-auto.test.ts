import { laneName } from '../support/kernel-lane.ts'
import { createLinuxDriver } from '../support/linux-driver.ts'
import { relaySuite } from './relay-suite.ts'

relaySuite(`${laneName} at auto`, (options) => createLinuxDriver(options, { kernelLane: 'auto' }))
