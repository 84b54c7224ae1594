// The admin API of a real gateway, with either driver: live connections, tenants and drains, and who may use it over a reload.

import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'tap'
import { createCa } from '../../src/cli/demo/certificates.ts'
import { adminConfig, askAdmin, drivers, isOpen, listedIn, startAdmin } from '../support/admin-gateway.ts'
import { readBytes, startEcho, until } from '../support/sockets.ts'

for (const driver of drivers) {
  void test(`${driver} driver: live connections are listed by page and closed by filter, over all threads`, async (t) => {
    const [one, other] = [await startEcho(t), await startEcho(t)]
    const { ask, relayed, lines } = await startAdmin(t, driver, () => adminConfig({ acme: one.port, globex: other.port }))
    t.same((await ask('GET', '/v1/connections')).value, { connections: [] })
    const acme = await Promise.all(Array.from({ length: 12 }, async () => await relayed('acme')))
    for (const client of acme) client.resume()
    const globex = await relayed('globex')
    const ids: string[] = []
    for (let more = ''; ;) {
      const page = await ask('GET', `/v1/connections?tenant=acme&limit=5${more}`)
      t.ok(page.status === 200 && listedIn(page).length <= 5)
      ids.push(...listedIn(page).map(({ id }) => id))
      if (page.value.continue === undefined) break
      more = `&continue=${page.value.continue}`
    }
    t.equal(new Set(ids).size, 12)
    t.equal(ids.length, 12)
    const [shown] = listedIn(await ask('GET', `/v1/connections?endpoint=127.0.0.1:${other.port}`))
    t.match(shown, { kind: 'connection', phase: 'relaying', tenant: 'globex', sni: 'globex.example.test', client: `127.0.0.1:${globex.localPort}`, endpoint: `127.0.0.1:${other.port}`, acceptedAt: /^20/ })
    t.equal(listedIn(await ask('GET', '/v1/connections?source=127.0.0.0/8&endpoint=127.0.0.1')).length, 13)
    t.equal(listedIn(await ask('GET', '/v1/connections?source=192.0.2.1')).length, 0)

    for (const [method, path, error] of [
      ['DELETE', '/v1/connections', /nothing says which/], ['DELETE', '/v1/connections?tenent=acme', /did you mean tenant/], ['DELETE', '/v1/connections?tenant=acme&limit=1', /"limit" is not known/],
      ['GET', '/v1/connections?limit=0', /limit: "0"/], ['GET', '/v1/connections?limit=1001', /limit/], ['GET', '/v1/connections?continue=x', /continue/], ['GET', '/v1/connections?source=somewhere', /source: "somewhere"/],
      ['GET', '/v1/connections?endpoint=10.0.0.1:0', /endpoint/], ['GET', '/v1/connections?tenant=a&tenant=b', /tenant twice/],
    ] as const) t.match(await ask(method, path), { status: 400, value: { error, expected: String } }, path)
    t.equal(listedIn(await ask('GET', '/v1/connections')).length, 13, 'a mistake closes nothing')

    t.same((await ask('DELETE', `/v1/connections/${ids[0]}`)), { status: 200, value: { closed: 1 } })
    t.equal((await ask('DELETE', `/v1/connections/${ids[0]}`)).status, 404)
    t.same((await ask('DELETE', '/v1/connections?tenant=acme')).value, { closed: 11 })
    await until(() => !acme.some(isOpen))
    globex.write('still')
    t.equal((await readBytes(globex, 5)).toString(), 'still')
    await until(() => lines.filter(({ reason }) => reason === 'closed-by-operator').length === 12)
    t.ok(lines.some(({ msg, request, status }) => msg === 'admin' && request === 'DELETE /v1/connections?tenant=acme' && status === 200))
    t.match((await ask('GET', '/metrics')).value, /sluice_connections_aborted_total\{reason="closed-by-operator"\} 12\n/)
  })

  void test(`${driver} driver: a tenant is drained over a window, while new ones come, others go on, and a reload changes what it likes`, async (t) => {
    const echo = await startEcho(t)
    const names = { acme: echo.port, globex: echo.port }
    const { ask, relayed, lines, write, gateway } = await startAdmin(t, driver, () => adminConfig(names))
    const old = await Promise.all(Array.from({ length: 10 }, async () => await relayed('acme')))
    for (const client of old) client.resume()
    const other = await relayed('globex')
    t.match(await ask('GET', '/v1/tenants/acme'), { status: 200, value: { name: 'acme', connections: 10, scheduler: 'wlc', endpoints: [{ endpoint: `127.0.0.1:${echo.port}`, weight: 1, active: 10 }] } })
    t.match((await ask('GET', '/v1/tenants?limit=1')).value, { tenants: [{ name: 'acme', connections: 10 }], continue: 'acme' })
    t.match((await ask('GET', '/v1/tenants?limit=1&continue=acme')).value, { tenants: [{ name: 'globex', connections: 1 }] })

    const began = await ask('POST', '/v1/tenants/acme/drain', { over: '1h' })
    t.match(began, { status: 202, value: { what: 'tenant acme', overSeconds: 3_600, connections: 10, left: 10 } })
    t.match((await ask('GET', '/v1/drains')).value, { drains: [{ what: 'tenant acme', left: 10 }] })
    t.match((await ask('GET', '/v1/tenants/acme')).value, { drain: { left: 10 } })
    t.match((await ask('GET', '/metrics')).value, /sluice_drains 1\n[^]*sluice_drain_connections_left 10\n/)
    t.match(await ask('DELETE', '/v1/tenants/acme/drain'), { status: 200, value: { left: 10 } })
    t.equal((await ask('DELETE', '/v1/tenants/acme/drain')).status, 404)
    t.ok(old.every(isOpen), 'one that is cancelled leaves the rest open')

    t.match(await ask('POST', '/v1/tenants/acme/drain', { over: '1h' }), { status: 202 })
    t.match(await ask('POST', '/v1/tenants/acme/drain', { over: '5s' }), { status: 202, value: { left: 10 } })
    t.ok(lines.some(({ drain, how }) => drain === 'tenant acme' && how === 'replaced'), 'a second one takes the place of the first')
    const fresh = await relayed('acme')
    write(adminConfig({ globex: echo.port }))
    t.match(await gateway.reload('test'), { kind: 'reloaded' })
    t.equal((await ask('GET', '/v1/tenants/acme')).status, 404)
    await until(() => old.some((client) => !isOpen(client)))
    t.ok(old.some(isOpen), 'not all at once')
    await until(() => lines.some(({ drain, how }) => drain === 'tenant acme' && how === 'done'))
    t.match(lines.findLast(({ drain }) => drain === 'tenant acme'), { connections: 10, closed: 10 })
    await until(() => old.every((client) => !isOpen(client)))
    for (const client of [fresh, other]) {
      client.write('still')
      t.equal((await readBytes(client, 5)).toString(), 'still')
    }
    t.match((await ask('GET', '/metrics')).value, /sluice_drains 0\n[^]*sluice_drain_connections_left 0\n/)
  })

  void test(`${driver} driver: drains of many tenants at once each close their own, and what is wrong with a request is said`, async (t) => {
    const echo = await startEcho(t)
    const names = Array.from({ length: 8 }, (_, index) => `tenant-${index}`)
    const { ask, relayed, lines } = await startAdmin(t, driver, () => adminConfig(Object.fromEntries([...names, 'other'].map((name) => [name, echo.port]))))
    const clients = (await Promise.all(names.map(async (name) => await Promise.all([relayed(name), relayed(name), relayed(name)])))).flat()
    for (const client of clients) client.resume()
    const other = await relayed('other')
    for (const [path, body, status, error] of [
      ['/v1/tenants/nobody/drain', { over: '1s' }, 404, /no such tenant/], ['/v1/tenants/other/drain', {}, 400, /over is missing/], ['/v1/tenants/other/drain', { over: 60 }, 400, /over: "60"/],
      ['/v1/tenants/other/drain', { over: '2h' }, 400, /over/], ['/v1/tenants/other/drain', { ower: '1s' }, 400, /did you mean over/], ['/v1/tenants/other/drain', [], 400, /no object/],
    ] as const) t.match(await ask('POST', path, body), { status, value: { error } }, JSON.stringify(body))
    for (const began of await Promise.all(names.map(async (name) => await ask('POST', `/v1/tenants/${name}/drain`, { over: '300ms' })))) t.match(began, { status: 202, value: { connections: 3 } })
    await until(() => lines.filter(({ msg }) => msg === 'drain over').length === names.length)
    t.ok(lines.filter(({ msg }) => msg === 'drain over').every(({ closed }) => closed === 3))
    await until(() => !clients.some(isOpen))
    other.write('still')
    t.equal((await readBytes(other, 5)).toString(), 'still')
  })
}

void test('linux driver: a worker that dies while connections are listed and drained takes its own along, and the rest is listed and drained', { skip: process.platform !== 'linux' }, async (t) => {
  const echo = await startEcho(t)
  const { ask, relayed, gateway, lines } = await startAdmin(t, 'linux', () => adminConfig({ acme: echo.port }))
  const clients = await Promise.all(Array.from({ length: 20 }, async () => await relayed('acme')))
  for (const client of clients) client.resume()
  t.equal((await ask('POST', '/v1/tenants/acme/drain', { over: '3s' })).status, 202)
  const asked = Promise.all(Array.from({ length: 20 }, async () => await ask('GET', '/v1/connections?limit=3')))
  await gateway.crashWorker()
  t.ok((await asked).every(({ status }) => status === 200 || status === 503))
  t.equal((await ask('GET', '/v1/connections')).status, 200)
  await until(() => lines.some(({ msg, how }) => msg === 'drain over' && how === 'done'))
  await until(() => !clients.some(isOpen))
  t.ok(Number(lines.find(({ msg }) => msg === 'drain over')?.['closed']) < 20)
  t.same((await ask('GET', '/v1/connections')).value, { connections: [] })
  await relayed('acme')
})

void test('who may use it changes with a reload: a new token, a certificate’s successor, another socket; what can not be is kept as it was', async (t) => {
  const echo = await startEcho(t)
  const ca = createCa('admin')
  const [first, second] = ['first-token-'.repeat(4), 'second-token-'.repeat(4)]
  const withAdmin = (admin: string): string => adminConfig({ acme: echo.port }).replace(/^admin: .*$/m, `admin: ${admin}`)
  const place = { folder: '' }
  const secure = '{ address: "0.0.0.0:0", certificate: { certFile: admin.crt, keyFile: admin.key }, tokenFile: token, socket: admin.sock }'
  const issue = (): void => {
    const { certificatePem, keyPem } = ca.issue({ commonName: 'localhost', dnsNames: ['localhost'], usages: ['server'] })
    writeFileSync(join(place.folder, 'admin.crt'), certificatePem)
    writeFileSync(join(place.folder, 'admin.key'), keyPem)
  }
  const { gateway, write, lines } = await startAdmin(t, 'node', (folder) => {
    place.folder = folder
    issue()
    writeFileSync(join(folder, 'token'), `${first}\n`)
    return withAdmin(secure)
  })
  const over = async (token: string): Promise<number> => (await askAdmin({ host: '127.0.0.1', port: gateway.adminAddress?.port ?? 0, ca: ca.certificatePem, token }, 'GET', '/v1/tenants')).status
  t.equal(await over(first), 200)
  t.equal(await over(second), 401)
  await until(() => lines.some(({ msg, status }) => msg === 'admin: not let in' && status === 401))
  writeFileSync(join(place.folder, 'token'), second)
  issue()
  t.match(await gateway.reload('test'), { kind: 'reloaded' })
  t.equal(await over(first), 401)
  t.equal(await over(second), 200)
  for (const [token, why] of [['short', /admin\.tokenFile: token has no token; expected one line of 32/], ['two words '.repeat(10), /has no token/]] as const) {
    writeFileSync(join(place.folder, 'token'), token)
    t.match(await gateway.reload('test'), { kind: 'kept', reason: why })
    t.equal(await over(second), 200)
  }
  write(withAdmin('{ address: "0.0.0.0:0", socket: other.sock }'))
  t.match(await gateway.reload('test'), { kind: 'kept', reason: /admin\.certificate is gone: restart to change that/ })
  t.equal(await over(second), 200)
  await t.rejects(askAdmin({ socketPath: join(place.folder, 'other.sock') }, 'GET', '/v1/tenants'), { code: 'ENOENT' })
  write(withAdmin('{ address: "127.0.0.1:0", socket: other.sock }'))
  t.match(await gateway.reload('test'), { kind: 'reloaded' })
  t.match(await askAdmin({ socketPath: join(place.folder, 'other.sock') }, 'GET', '/v1/tenants'), { status: 200 })
  await t.rejects(askAdmin({ socketPath: join(place.folder, 'admin.sock') }, 'GET', '/v1/tenants'), { code: 'ENOENT' })
  t.match(await askAdmin({ host: '127.0.0.1', port: gateway.adminAddress?.port ?? 0 }, 'GET', '/v1/tenants'), { status: 200 })
})
