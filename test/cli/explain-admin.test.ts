// `sluice explain --admin`: what a running gateway adds to what its configuration says.

import { join } from 'node:path'
import { test, type Test } from 'tap'
import { createCa } from '../../src/cli/demo/certificates.ts'
import { explain } from '../../src/cli/explain.ts'
import { startAdmin, type AdminGateway } from '../support/admin-gateway.ts'
import { run } from '../support/command.ts'
import { startEcho } from '../support/sockets.ts'

interface Place extends AdminGateway {
  readonly explained: (...args: readonly string[]) => ReturnType<typeof run>
  readonly ports: readonly [number, number]
}

async function place(t: Test, { admin = '{ address: 127.0.0.1:0, socket: admin.sock }', connections = 100, scheduler = 'wlc' } = {}): Promise<Place> {
  const ports = [(await startEcho(t)).port, (await startEcho(t)).port] as const
  const started = await startAdmin(t, 'node', () => `listeners: [{ address: "127.0.0.1:0" }]
defaults: { health: { kind: none }, limits: { connections: ${connections} }, scheduler: ${scheduler} }
tenants:
  - { name: acme, hostnames: [acme.example.test], apiServer: { endpoints: [127.0.0.1:${ports[0]}, 127.0.0.1:${ports[1]}] } }
admin: ${admin}
`)
  return { ...started, ports, explained: async (...args) => await run(explain, '--config', join(started.folder, 'sluice.yaml'), ...args, 'acme.example.test') }
}

void test('it tells what each endpoint is and has, and where a client would go now', async (t) => {
  const { ask, explained, relayed, folder, gateway, ports: [one, other] } = await place(t)
  const socket = join(folder, 'admin.sock')
  for (let count = 0; count < 3; count++) await relayed('acme')
  t.match(await ask('PUT', `/v1/endpoints/127.0.0.1:${one}/state`, { state: 'draining' }), { status: 200 })
  const { code, stdout } = await explained('--admin', socket)
  t.equal(code, 0)
  t.match(stdout, new RegExp(`^now +127\\.0\\.0\\.1:${one} +draining, the operator says, [12] connections?$`, 'm'))
  t.match(stdout, new RegExp(`^ +127\\.0\\.0\\.1:${other} +ready, [12] connections?$`, 'm'))
  t.match(stdout, /^open +3 connections of the tenant, of 100 that it may have$/m)
  t.match(stdout, new RegExp(`^would go +to 127\\.0\\.0\\.1:${other}$`, 'm'))
  t.match((await explained('--admin', `http://127.0.0.1:${gateway.adminAddress?.port}`)).stdout, /^would go/m)
  t.match(await ask('POST', '/v1/tenants/acme/drain', { over: '1h' }), { status: 202 })
  t.match((await explained('--admin', socket)).stdout, /^drain +3 of 3 connections are yet to be closed$/m)
  t.match(await ask('PUT', '/v1/endpoints/127.0.0.1/state', { state: 'down' }), { status: 200 })
  t.match(await ask('DELETE', `/v1/endpoints/127.0.0.1:${one}/state`), { status: 200 })
  t.match(await explained('--admin', socket), { code: 1, stdout: /^refused +no-endpoint/m })
  t.notMatch((await explained()).stdout, /^now/m, 'without --admin nobody is asked')
})

void test('a tenant at its limit would be refused', async (t) => {
  const { explained, relayed, folder } = await place(t, { connections: 1 })
  await relayed('acme')
  t.match(await explained('--admin', join(folder, 'admin.sock')), { code: 1, stdout: /^refused +tenant-connection-limit/m })
})

void test('by turns it is each that is ready', async (t) => {
  const { explained, folder } = await place(t, { scheduler: 'rr' })
  t.match(await explained('--admin', join(folder, 'admin.sock')), { code: 0, stdout: /^would go +to each that is ready in its turn$/m })
})

void test('who does not answer, does not let it in, or runs something else is told of', async (t) => {
  const ca = createCa('admin')
  const { certificatePem, keyPem } = ca.issue({ commonName: 'localhost', dnsNames: ['localhost'], usages: ['server'] })
  const folder = t.testdir({ 'ca.crt': ca.certificatePem, 'admin.crt': certificatePem, 'admin.key': keyPem, token: 'a-token-'.repeat(8) })
  const file = (name: string): string => join(folder, name)
  const { explained, gateway, write } = await place(t, { admin: `{ address: "0.0.0.0:0", certificate: { certFile: ${file('admin.crt')}, keyFile: ${file('admin.key')} }, tokenFile: ${file('token')} }` })
  const url = `https://localhost:${gateway.adminAddress?.port}`
  t.match(await explained('--admin', url, '--ca-file', file('ca.crt'), '--token-file', file('token')), { code: 0, stdout: /^would go/m })
  t.match(await explained('--admin', url, '--ca-file', file('ca.crt')), { code: 2, stdout: /does not say: no token; expected the header/ })
  t.match(await explained('--admin', url, '--token-file', file('token')), { code: 2, stdout: /no answer from https/ })
  t.match(await explained('--admin', '/nowhere/admin.sock'), { code: 2, stdout: /ENOENT/ })
  t.match(await explained('--admin', url, '--token-file', file('nowhere')), { code: 2, stdout: /ENOENT/ })
  write('listeners: []')
  t.match(await explained('--admin', url), { code: 2, stderr: /listeners/ })
})
