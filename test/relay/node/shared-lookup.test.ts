// One lookup a name at a time, and everybody who waits gets its answer.

import { connect, createServer, type LookupFunction } from 'node:net'
import { once } from 'node:events'
import { test } from 'tap'
import { sharedLookup } from '../../../src/relay/node/shared-lookup.ts'

type Answer = Parameters<LookupFunction>[2]

void test('dials that wait for one name share its lookup; another name, and a later dial, get their own', async (t) => {
  const asked: { hostname: string; answer: Answer }[] = []
  const lookup = sharedLookup((hostname, _options, answer) => asked.push({ hostname, answer }))
  const answers: unknown[] = []
  const ask = (hostname: string): void => lookup(hostname, { all: true }, (error, address) => answers.push(error?.code ?? address))
  for (let count = 0; count < 1_000; count++) ask('a.example.test')
  ask('b.example.test')
  t.same(asked.map(({ hostname }) => hostname), ['a.example.test', 'b.example.test'])
  asked[0]?.answer(null, [{ address: '192.0.2.1', family: 4 }])
  t.same(answers, Array.from({ length: 1_000 }, () => [{ address: '192.0.2.1', family: 4 }]))
  asked[1]?.answer(Object.assign(new Error('no such name'), { code: 'ENOTFOUND' }), [])
  t.equal(answers.at(-1), 'ENOTFOUND')
  ask('a.example.test')
  t.equal(asked.length, 3)
})

void test('sockets dial with it', async (t) => {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => server.close())
  const address = server.address()
  if (address === null || typeof address === 'string') throw new Error('no port')
  const lookup = sharedLookup()
  await Promise.all(Array.from({ length: 3 }, async () => {
    const socket = connect({ host: 'localhost', port: address.port, lookup })
    await once(socket, 'connect')
    socket.destroy()
  }))
})
