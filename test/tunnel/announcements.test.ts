// What agents announce, while what they may announce changes and gateways go.

import { test } from 'tap'
import { until } from '../support/sockets.ts'
import { changeOf, tenant } from '../support/config.ts'
import { tunnelLab, type TestAgent } from './tunnel-lab.ts'

const reverse = { allow: [], announce: ['10.96.0.0/16', '10.244.0.0/16'], dialTimeoutMs: 1_000 }

void test('a tenant that may announce less, or more, after a reload: what its agents announce is judged again, and no session ends', async (t) => {
  const lab = await tunnelLab(t)
  const gateway = await lab.gateway({ overrides: { mayAnnounce: ['10.0.0.0/8', '192.0.2.0/24', '*'] } })
  const agent = await lab.agent({ gateways: [gateway.url], token: await lab.token(), addresses: ['192.0.2.1'], reverse })
  await agent.up()
  t.match(gateway.started, [{ announced: { addresses: ['192.0.2.1'], ranges: reverse.announce } }])
  gateway.tunnel.publish(changeOf({ tenants: [tenant('acme', [], { mayAnnounce: ['10.96.0.0/12'] })] }))
  await until(() => agent.announcements.length === 1)
  t.match(agent.announcements[0], [
    { announced: '192.0.2.1', why: 'not within what the tenant may announce: 10.96.0.0/12' },
    { announced: '10.244.0.0/16', why: 'not within what the tenant may announce: 10.96.0.0/12' },
    { announced: 'node1', why: 'not within what the tenant may announce: 10.96.0.0/12' },
  ])
  t.match(gateway.changed, [{ announced: { addresses: [], ranges: ['10.96.0.0/16'], isNameRefused: true } }])
  gateway.tunnel.publish(changeOf({ tenants: [tenant('acme', [], { mayAnnounce: ['10.96.0.0/12'], idleTimeoutMs: 1 })] }))
  gateway.tunnel.publish(changeOf({ tenants: [tenant('acme', [], {})] }))
  await until(() => agent.announcements.length === 2)
  t.same(agent.announcements[1], [], 'nothing is refused any more')
  t.same(gateway.holding, ['192.0.2.1', '10.244.0.0/16', 'node1'])
  t.equal(gateway.changed.length, 2, 'a reload that changes nothing of it tells nothing')
  t.equal(gateway.started.length, 1)
  t.same(gateway.ended, [])
})

void test('an address that its first node leaves is the next one’s, who is told so, and so is one that has it no longer', async (t) => {
  const lab = await tunnelLab(t)
  const gateway = await lab.gateway()
  const agentOf = async (node: string, addresses: readonly string[]): Promise<TestAgent> => {
    const agent = await lab.agent({ gateways: [gateway.url], token: await lab.token(), node, addresses, reverse: { ...reverse, announce: [] } })
    await agent.up()
    return agent
  }
  const first = await agentOf('first', ['192.0.2.1'])
  const second = await agentOf('second', ['192.0.2.1', '192.0.2.2', '169.254.0.1'])
  const third = await agentOf('third', ['192.0.2.1'])
  const special = { announced: '169.254.0.1', why: 'link-local can\'t be announced' }
  await until(() => second.announcements.length === 1 && third.announcements.length === 1)
  t.same(second.announcements[0], [special, { announced: '192.0.2.1', why: 'first has it' }])
  await first.agent.stop()
  await until(() => second.announcements.length === 2 && third.announcements.length === 2)
  t.same(second.announcements[1], [special])
  t.same(second.agent.links[0]?.refusedAnnouncements, [special])
  t.same(third.announcements[1], [{ announced: '192.0.2.1', why: 'second has it' }], 'and who waits on, for whom')
  t.same(gateway.holding, ['192.0.2.1'])
  t.same(gateway.announcements.map(({ announced }) => announced), ['169.254.0.1', '192.0.2.1', '192.0.2.1'], 'none is counted again')
  // Its session began before theirs: the news of it comes now.
  const elsewhere = { id: 'elsewhere-1', tenant: 'acme', node: 'fourth', keyId: 'fourth', sinceMs: 1, announced: { addresses: ['192.0.2.2'], ranges: [], names: [] } }
  gateway.tunnel.seen(elsewhere, { kind: 'gateway', id: 'elsewhere' })
  await until(() => second.announcements.length === 3)
  t.same(second.announcements[2], [special, { announced: '192.0.2.2', why: 'fourth has it' }])
  t.match(gateway.announcements.at(-1), { announced: '192.0.2.2', why: 'fourth has it' })
  gateway.tunnel.gone(elsewhere.id)
  await until(() => second.announcements.length === 4)
  t.same(second.announcements[3], [special])
  t.equal(third.announcements.length, 2)
})
