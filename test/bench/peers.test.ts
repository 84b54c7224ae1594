// Each relay's configuration, rendered from the same facts, says the same.

import { test } from 'tap'
import { allPeers } from '../../bench/peers/all.ts'
import type { PeerFacts } from '../../bench/peers/peer.ts'

const facts: PeerFacts = {
  directory: '/nowhere/bench',
  listenPort: 20_001,
  adminPort: 20_002,
  connectionsMax: 77,
  routes: [{ serverName: 'echo.bench.example', endpoint: '127.0.0.1:20011' }, { serverName: 'sink.bench.example', endpoint: '127.0.0.1:20012' }],
}

for (const peer of allPeers) {
  const installation = peer.find()
  void test(`${peer.name} has every fact in its configuration`, { skip: typeof installation === 'string' && installation }, async (t) => {
    if (typeof installation === 'string') return
    t.match(installation.version, /^\d+\.\d+/)
    const { files, arguments_ } = installation.launch(facts)
    const [name = ''] = Object.keys(files)
    const text = Object.values(files).join('')
    t.ok(arguments_.some((argument) => argument === `${facts.directory}/${name}`), 'it is started with it')
    for (const { serverName, endpoint } of facts.routes) {
      t.match(text, new RegExp(serverName.replaceAll('.', String.raw`\\?\.`)), serverName)
      t.match(text, endpoint)
    }
    t.match(text, `127.0.0.1:${facts.listenPort}`)
  })
}
