import { NodeDriver } from '../../src/relay/node/node-driver.ts'
import { createTunnelServer } from '../support/tunnel-server.ts'
import { directLaneSuite } from './direct-lane-suite.ts'
import { handOverSuite } from './hand-over-suite.ts'
import { limitSuite } from './limit-suite.ts'
import { liveSuite } from './live-suite.ts'
import { relaySuite } from './relay-suite.ts'

relaySuite('node driver', (options) => new NodeDriver(options))
limitSuite('node driver', (options) => new NodeDriver(options))
liveSuite('node driver', (options) => new NodeDriver(options))

handOverSuite('node driver', (_t, certificate) => {
  const server = createTunnelServer(certificate)
  return (options) => new NodeDriver({
    ...options,
    handOver: ({ head }, socket) => {
      socket.unshift(head)
      server.emit('connection', socket)
    },
  })
})

directLaneSuite('node driver', (options, taken) => new NodeDriver({ ...options, handOver: ({ head }, socket) => {
  socket.unshift(head)
  taken(socket)
} }))
