// What agents announce, while what they may announce changes and gateways go.

import { test } from 'tap'
import { until } from '../support/sockets.ts'
import { changeOf, tenant } from '../support/config.ts'
import { tunnelLab } from './tunnel-lab.ts'

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
  t.equal(gateway.changed.length, 2, 'a reload that changes nothing of it tells nothing')
  t.equal(gateway.started.length, 1)
  t.same(gateway.ended, [])
})
