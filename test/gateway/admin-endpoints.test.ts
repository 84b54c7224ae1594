// Endpoints in the admin API of a real gateway, with either driver: their states, set and taken back, and moving what they have.

import { test } from 'tap'
import { drivers, isOpen, listedIn, startAdmin } from '../support/admin-gateway.ts'
import { startEcho, until } from '../support/sockets.ts'

function configText(tenants: Readonly<Record<string, readonly number[]>>): string {
  return `listeners: [{ address: "127.0.0.1:0" }]
defaults: { timeouts: { drainGrace: 0s }, health: { kind: none } }
tenants:
${Object.entries(tenants).map(([name, ports]) => `  - { name: ${name}, hostnames: [${name}.example.test], apiServer: { endpoints: [${ports.map((port) => `127.0.0.1:${port}`).join(', ')}] } }`).join('\n')}
admin: { address: 127.0.0.1:0, socket: admin.sock }
`
}

for (const driver of drivers) {
  void test(`${driver} driver: an endpoint that drains gets no new connection, what it has is moved over a window, and a reload keeps it so`, async (t) => {
    const [one, other] = [await startEcho(t), await startEcho(t)]
    const { ask, relayed, lines, write, gateway } = await startAdmin(t, driver, () => configText({ acme: [one.port, other.port], globex: [one.port] }))
    const [first, second] = [`127.0.0.1:${one.port}`, `127.0.0.1:${other.port}`]
    const clients = await Promise.all(Array.from({ length: 12 }, async () => await relayed('acme')))
    for (const client of clients) client.resume()
    const before = listedIn(await ask('GET', `/v1/connections?endpoint=${first}`)).length
    t.ok(before > 0 && before < 12)
    t.match(await ask('PUT', `/v1/endpoints/${first}/state`, { state: 'draining', tenant: 'acme', over: '400ms' }), { status: 202, value: { state: 'draining', endpoints: 1, what: `endpoint ${first} of tenant acme`, connections: before } })
    t.match((await ask('GET', '/v1/tenants/acme')).value, { endpoints: [{ endpoint: first, state: 'draining', by: 'operator' }, { endpoint: second, state: 'ready', by: 'checks', share: 1, weight: 1 }] })
    t.match((await ask('GET', '/v1/tenants/globex')).value, { endpoints: [{ endpoint: first, state: 'ready' }] }, 'of the other tenant it takes them still')
    await until(() => lines.some(({ msg, how }) => msg === 'drain over' && how === 'done'))
    await until(() => clients.filter(isOpen).length === 12 - before)
    for (let count = 0; count < 4; count++) await relayed('acme')
    t.equal(listedIn(await ask('GET', `/v1/connections?endpoint=${first}`)).length, 0)
    t.equal(listedIn(await ask('GET', `/v1/connections?endpoint=${second}`)).length, 12 - before + 4)
    await relayed('globex')

    write(configText({ acme: [other.port, one.port], globex: [one.port], initech: [one.port] }))
    t.match(await gateway.reload('test'), { kind: 'reloaded' })
    for (let count = 0; count < 4; count++) await relayed('acme')
    t.equal(listedIn(await ask('GET', `/v1/connections?endpoint=${first}&tenant=acme`)).length, 0)
    t.match((await ask('GET', '/v1/endpoints?state=draining')).value, { endpoints: [{ endpoint: first, tenants: [{ tenant: 'acme', state: 'draining', by: 'operator' }, {}, {}] }] })
    t.match((await ask('GET', '/v1/endpoints?state=draining&tenant=globex')).value, { endpoints: [] })
    t.match(await ask('DELETE', `/v1/endpoints/${first}/state?tenant=acme`), { status: 200, value: { endpoints: 1 } })
    for (let count = 0; count < 4; count++) await relayed('acme')
    t.ok(listedIn(await ask('GET', `/v1/connections?endpoint=${first}&tenant=acme`)).length > 0)
  })

  void test(`${driver} driver: an address without a port is a whole node, and nobody is let to its endpoints while it is down`, async (t) => {
    const [one, other] = [await startEcho(t), await startEcho(t)]
    const { ask, relayed, lines } = await startAdmin(t, driver, () => configText({ acme: [one.port], globex: [other.port] }))
    const client = await relayed('acme')
    t.match(await ask('PUT', '/v1/endpoints/127.0.0.1/state', { state: 'down' }), { status: 200, value: { state: 'down', endpoints: 2 } })
    t.ok(isOpen(client), 'what it has stays')
    await t.rejects(relayed('acme'))
    await until(() => lines.some(({ reason }) => reason === 'no-endpoint'))
    t.match((await ask('GET', '/v1/endpoints')).value, { endpoints: [{ tenants: [{ state: 'down', by: 'operator' }] }, { tenants: [{ state: 'down', by: 'operator' }] }] })
    const page = await ask('GET', '/v1/endpoints?limit=1')
    t.match(await ask('GET', `/v1/endpoints?limit=1&continue=${page.value.continue}`), { status: 200, value: { endpoints: [{ active: Number }] } })
    t.match(await ask('PUT', '/v1/endpoints/127.0.0.1/state', { state: 'draining', over: '1h' }), { status: 202, value: { connections: 1 } })
    t.match(await ask('PUT', '/v1/endpoints/127.0.0.1/state', { state: 'ready' }), { status: 200 })
    t.ok(lines.some(({ drain, how }) => drain === 'endpoint 127.0.0.1' && how === 'cancelled'), 'ready again, it keeps what was to be moved')
    t.ok(isOpen(client))
    await relayed('acme')
    for (const [path, body, status, error] of [
      ['/v1/endpoints/127.0.0.1:1/state', { state: 'down' }, 404, /no such endpoint/], ['/v1/endpoints/127.0.0.1/state', { state: 'up' }, 400, /state: "up"/], ['/v1/endpoints/127.0.0.1/state', {}, 400, /state is missing/],
      ['/v1/endpoints/127.0.0.1:x/state', { state: 'down' }, 400, /endpoint/], ['/v1/endpoints/127.0.0.1/state', { state: 'ready', over: '1s' }, 400, /over/], ['/v1/endpoints/127.0.0.1/state', { state: 'down', tenant: 'nobody' }, 404, /no such/],
    ] as const) t.match(await ask('PUT', path, body), { status, value: { error } }, JSON.stringify(body))
    await relayed('acme')
    t.equal((await ask('DELETE', '/v1/endpoints/127.0.0.1/drain')).status, 404)
  })
}
