import { NodeDriver } from '../../src/relay/node/node-driver.ts'
import { relaySuite } from './relay-suite.ts'

relaySuite('node driver', (options) => new NodeDriver(options))
