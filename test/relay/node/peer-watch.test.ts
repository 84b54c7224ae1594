// That hosts which vanish are noticed is a rule of test/compliance/; here, who is not to be given up.

import { connect } from 'node:net'
import { once } from 'node:events'
import { setTimeout as delay } from 'node:timers/promises'
import { PeerWatch } from '../../../src/relay/node/peer-watch.ts'
import { cannotMakeHosts, startVanishingHost } from '../../compliance/vanished-host.ts'
import { test } from '../../support/linux-only.ts'
import { readBytes } from '../../support/sockets.ts'

void test('silence before anything was in flight is not held against a peer', { skip: cannotMakeHosts() ?? false }, async (t) => {
  const host = await startVanishingHost(t)
  const socket = connect({ host: host.address, port: host.port })
  t.teardown(() => void socket.destroy())
  await once(socket, 'connect')
  new PeerWatch().watch(socket)
  socket.write('before')
  await readBytes(socket, 6)
  await delay(16_000)
  host.vanish()
  socket.write('after')
  // More than a look, and less than what is one silence too many.
  await delay(4_500)
  host.comeBack()
  t.equal((await readBytes(socket, 5)).toString(), 'after')
})
