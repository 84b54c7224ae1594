import { driverName } from '../support/linux-only.ts'
import { createLinuxDriver } from '../support/linux-driver.ts'
import { relaySuite } from './relay-suite.ts'

relaySuite(driverName, (options) => createLinuxDriver(options))
