import { laneName } from '../support/kernel-lane.ts'
import { createLinuxDriver } from '../support/linux-driver.ts'
import { liveSuite } from './live-suite.ts'
import { relaySuite } from './relay-suite.ts'

relaySuite(`${laneName} at always`, (options) => createLinuxDriver(options, { kernelLane: 'always' }))
liveSuite(`${laneName} at always`, (options) => createLinuxDriver(options, { kernelLane: 'always' }))
