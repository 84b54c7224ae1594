// Which gateways an agent holds sessions with, and how it comes to know them.

import { test } from 'tap'
import { dial, readBytes, readToEnd, until } from '../support/sockets.ts'
import { tunnelLab } from './tunnel-lab.ts'

const urlOf = ({ url }: { readonly url: URL }): string => url.href.replace(/\/$/, '')

void test('a gateway tells of the others: the agent holds a session with each', async (t) => {
  const lab = await tunnelLab(t)
  const second = await lab.gateway()
  const first = await lab.gateway({ told: [urlOf(second)] })
  const agent = await lab.agent({ gateways: [first.url], token: await lab.token() })
  await until(() => second.started.length === 1)
  await until(() => agent.agent.links.length === 1)
  t.equal(agent.agent.links[0]?.gateway, second.url.host)
  t.equal(first.ended.length, 1, 'the list is whole: one that is not in it is left')
})

void test('a list that changes is told to those that are there', async (t) => {
  const lab = await tunnelLab(t)
  const [first, second] = [await lab.gateway(), await lab.gateway()]
  const agent = await lab.agent({ gateways: [first.url], token: await lab.token() })
  await agent.up()
  first.tunnel.setGateways([urlOf(first), urlOf(second)])
  await until(() => second.started.length === 1)
  t.equal(agent.agent.links.length, 2)
  t.equal(first.ended.length, 0)
})

void test('the list is kept: a later start does not need the gateway of the configuration', async (t) => {
  const lab = await tunnelLab(t)
  const second = await lab.gateway()
  const first = await lab.gateway({ told: [urlOf(second)] })
  const agent = await lab.agent({ gateways: [first.url], token: await lab.token(), node: 'keeper' })
  await until(() => second.started.length === 1)
  await agent.agent.stop()
  await first.close()
  await (await lab.agent({ gateways: [first.url], node: 'keeper' })).up()
  t.equal(second.started.length, 2)
})

void test('of two gateways one is enough where one session is wanted; the other takes over, and gives back', async (t) => {
  const lab = await tunnelLab(t)
  const gateways = [await lab.gateway(), await lab.gateway()] as const
  const agent = await lab.agent({ gateways: gateways.map(({ url }) => url), sessions: 1, token: await lab.token() })
  await agent.up()
  const [its, other] = gateways[0].started.length === 1 ? gateways : [gateways[1], gateways[0]]
  t.equal(other.started.length, 0)
  await its.close()
  await until(() => other.started.length === 1)
  const client = await dial(t, agent.port, Buffer.from('over there'))
  t.equal((await readBytes(client, 10)).toString(), 'over there')
  const back = await lab.gateway({ port: Number(its.url.port) })
  await until(() => back.started.length === 1)
  client.write('still')
  t.equal((await readBytes(client, 5)).toString(), 'still', 'streams of a link that is no longer wanted go on')
  t.equal(other.ended.length, 0)
  client.end()
  await readToEnd(client)
  await until(() => other.ended.length === 1)
  t.match(agent.agent.links, [{ gateway: its.url.host, state: { kind: 'up' } }])
})
