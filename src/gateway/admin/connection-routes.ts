// `/v1/connections`: those that live now, and closing them.

import { escapeText } from '../../observe/access-line.ts'
import type { AdminAnswer, AdminRoute } from '../../observe/admin/routes.ts'
import type { LiveConnection } from '../../core/live/live-connection.ts'
import { formatSocketAddress } from '../../core/net/socket-address.ts'
import type { LiveConnections } from '../live-connections.ts'
import { answered, filterKeys, filterOf, InputError, limitOf, queryOf } from './inputs.ts'

/** Answered at one time; each looks through all connections. */
const sweepsMax = 8

export function connectionRoutes(live: LiveConnections): readonly AdminRoute[] {
  let sweeps = 0
  const sweeping = async (handle: () => Promise<AdminAnswer>): Promise<AdminAnswer> => {
    if (sweeps >= sweepsMax) return { status: 503, value: { error: `${sweepsMax} such requests are being answered`, expected: 'a later one' } }
    sweeps += 1
    try {
      return await answered(handle)
    } finally {
      sweeps -= 1
    }
  }
  return [
    {
      method: 'GET', path: '/v1/connections', access: 'guarded', summary: '?tenant= endpoint= source= kind= limit= continue=: live connections',
      answer: async (request) => await sweeping(async () => {
        const given = queryOf(request, [...filterKeys, 'limit', 'continue'])
        const page = await live.page({ query: filterOf(given), limit: limitOf(given), from: given.get('continue') })
        if (page === undefined) throw new InputError('continue', 'what the page before gave as continue')
        return { status: 200, value: { connections: page.connections.map(viewOf), ...(page.next === undefined ? {} : { continue: page.next }) } }
      }),
    },
    {
      method: 'DELETE', path: '/v1/connections', access: 'guarded', summary: '?tenant= endpoint= source= kind=: close them at once',
      answer: async (request) => await sweeping(async () => {
        const query = filterOf(queryOf(request, filterKeys))
        if (Object.keys(query).length === 0) throw new InputError('nothing says which', `one of ${filterKeys.join(', ')}`)
        return { status: 200, value: { closed: await live.close(query) } }
      }),
    },
    {
      method: 'DELETE', path: '/v1/connections/:id', access: 'guarded', summary: 'close one',
      answer: async (request) => await sweeping(async () => {
        queryOf(request, [])
        const { id = '' } = request.params
        const closed = await live.close({ id })
        return closed === 0 ? { status: 404, value: { error: 'no such connection: it may have ended' } } : { status: 200, value: { closed } }
      }),
    },
  ]
}

/** Names are those of the access log. */
function viewOf({ id, phase, kind, listener, egress, tenant, serverName, client, target, node, endpoint, acceptedAtMs, bytesFromDownstream, bytesFromUpstream }: LiveConnection): object {
  return {
    id, phase, kind,
    ...(listener === undefined ? {} : { listener }),
    ...(egress === undefined ? {} : { egress }),
    ...(tenant === undefined ? {} : { tenant }),
    ...(serverName === undefined ? {} : { sni: escapeText(serverName) }),
    ...(client === undefined ? {} : { client: formatSocketAddress(client) }),
    ...(target === undefined ? {} : { target: escapeText(target) }),
    ...(node === undefined ? {} : { node }),
    ...(endpoint === undefined ? {} : { endpoint }),
    acceptedAt: new Date(acceptedAtMs).toISOString(),
    bytesFromDownstream, bytesFromUpstream,
  }
}
