// Tenants that are written into etcd one by one: live at every gateway, without a change of any file.

import { writeFileSync } from 'node:fs'
import { test } from 'tap'
import { EtcdStore } from '../../src/state/etcd/etcd-store.ts'
import type { Store } from '../../src/state/store.ts'
import { buildClientHello } from '../core/tls/hello-builder.ts'
import { freePort } from '../../bench/free-port.ts'
import { sluice } from '../support/sluice-process.ts'
import { dial, readBytes, startBackend, until, type Backend } from '../support/sockets.ts'
import { EtcdCluster } from './etcd-cluster.ts'

/** Beside the few that the test looks at. */
const tenantsCount = 2_000
const putsAtOnce = 100

void test('a tenant that is written into etcd is live at both gateways, one that is wrong changes nothing, and one that is removed is gone', async (t) => {
  const cluster = await EtcdCluster.start(t)
  const options = cluster.options('/sluice')
  const store = await EtcdStore.open(options)
  t.teardown(() => store.close())
  const [first, second] = [await backendSaying(t, 'first'), await backendSaying(t, 'second')]
  for (let at = 0; at < tenantsCount; at += putsAtOnce) await Promise.all(Array.from({ length: putsAtOnce }, async (_, index) => await write(store, `t${at + index}`, first)))

  const ports = [await freePort(), await freePort()]
  const gateways = ports.map((port, index) => {
    const file = cluster.file(`gateway${index}.yaml`)
    writeFileSync(file, `listeners: [{ address: 127.0.0.1:${port} }]
relay: { driver: node }
defaults: { timeouts: { drainGrace: 0s } }
tenants: [{ name: acme, hostnames: [acme.example.test], apiServer: { endpoints: [127.0.0.1:${first.port}] } }]
state: { kind: etcd, tenants: true, endpoints: [${options.endpoints.map((each) => `"https://${each}"`).join(', ')}], caFile: ca.crt, username: sluice, passwordFile: password }
admin: { address: 127.0.0.1:0 }
`)
    return sluice(t, ['gateway', '--config', file])
  })
  await until(() => gateways.every(({ output }) => output().includes('"ready"')))
  for (const { output } of gateways) t.match(output(), new RegExp(`"tenants":${tenantsCount + 1},`))

  /** What every gateway's clients get; `alert` where they are refused. */
  const answers = async (name: string): Promise<readonly string[]> => await Promise.all(ports.map(async (port) => {
    const client = await dial(t, port, buildClientHello({ serverName: `${name}.example.test` }))
    const bytes = await readBytes(client, 5)
    client.destroy()
    return bytes[0] === 0x15 ? 'alert' : bytes.toString()
  }))
  const untilAnswers = async (name: string, wanted: string): Promise<void> => {
    while ((await answers(name)).some((answer) => answer !== wanted));
  }
  t.same(await answers('t7'), ['first', 'first'])
  t.same(await answers('late'), ['alert', 'alert'])
  const startMs = performance.now()
  await write(store, 'late', first)
  await untilAnswers('late', 'first')
  t.comment(`live at both after ${Math.round(performance.now() - startMs)} ms, as number ${tenantsCount + 2}`)
  await write(store, 'late', second)
  await untilAnswers('late', 'secon')

  await put(store, 'late', '{ name: late, hostnames: [acme.example.test], apiServer: { endpoints: [127.0.0.1:1] } }')
  await until(() => gateways.every(({ output }) => output().includes('tenants/late: hostnames[0]: hostname acme.example.test is claimed by the file’s tenant acme already')))
  t.same(await answers('late'), ['secon', 'secon'])
  t.same(await answers('acme'), ['first', 'first'])
  await store.remove('tenants/late', (await store.get('tenants/late'))?.revision ?? -1)
  await untilAnswers('late', 'alert')

  for (const index of [0, 1, 2]) await cluster.killMember(index)
  t.same(await answers('t7'), ['first', 'first'], 'etcd is not asked for a connection')
  for (const gateway of gateways) gateway.child.kill('SIGTERM')
  t.same(await Promise.all(gateways.map(async ({ exitCode }) => await exitCode)), [0, 0])
})

async function backendSaying(t: Parameters<typeof startBackend>[0], what: string): Promise<Backend> {
  return await startBackend(t, (socket) => {
    socket.write(what)
    socket.on('end', () => socket.end()).resume()
  })
}

async function write(store: Store, name: string, { port }: Backend): Promise<void> {
  await put(store, name, `name: ${name}\nhostnames: [${name}.example.test]\napiServer: { endpoints: [127.0.0.1:${port}] }\n`)
}

async function put(store: Store, name: string, text: string): Promise<void> {
  await store.put(`tenants/${name}`, text, (await store.get(`tenants/${name}`))?.revision ?? 0)
}
