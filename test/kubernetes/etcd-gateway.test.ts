// A gateway whose state is in etcd, as a process: what goes on while etcd is away, and what follows when it is back.

import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'tap'
import { createCa } from '../../src/cli/demo/certificates.ts'
import { freePort } from '../../bench/free-port.ts'
import { sluice, type Process } from '../support/sluice-process.ts'
import { dial, readBytes, startEcho, until } from '../support/sockets.ts'
import { EtcdCluster } from './etcd-cluster.ts'

void test('while etcd is away a node that is known has sessions and streams; when it is back, a revoked one loses them', async (t) => {
  const cluster = await EtcdCluster.start(t)
  const echo = await startEcho(t)
  const [port, adminPort, agentPort] = [await freePort(), await freePort(), await freePort()]
  const ca = createCa('tunnel CA')
  const { certificatePem, keyPem } = ca.issue({ commonName: 'localhost', dnsNames: ['localhost'], usages: ['server'] })
  const { endpoints, prefix } = cluster.options('/sluice')
  const files: Readonly<Record<string, string>> = {
    'tunnel.crt': certificatePem, 'tunnel.key': keyPem, 'tunnel-ca.crt': ca.certificatePem,
    'sluice.yaml': `listeners: [{ address: 127.0.0.1:${port} }]
relay: { driver: node }
defaults: { timeouts: { drainGrace: 0s } }
tenants: [{ name: acme, hostnames: [acme.example.test], apiServer: { endpoints: [127.0.0.1:${echo.port}] } }]
tunnel: { hostnames: [localhost], certificate: { certFile: tunnel.crt, keyFile: tunnel.key } }
state: { kind: etcd, endpoints: [${endpoints.map((each) => `"https://${each}"`).join(', ')}], prefix: ${prefix}, caFile: ca.crt, username: sluice, passwordFile: password }
admin: { address: 127.0.0.1:${adminPort} }
`,
    'agent.yaml': `gateways: [wss://localhost:${port}]
caFile: tunnel-ca.crt
token: { file: join-token }
state: { directory: agent-state }
node: { name: worker-1 }
forward: [{ listen: 127.0.0.1:${agentPort} }]
`,
  }
  for (const [name, text] of Object.entries(files)) writeFileSync(cluster.file(name), text)
  const config = join(cluster.directory, 'sluice.yaml')
  const command = async (...args: string[]): Promise<{ readonly code: number | null; readonly output: string }> => {
    const process_ = sluice(t, args)
    return { code: await process_.exitCode, output: process_.output() }
  }
  const agentIsUp = async (): Promise<Process> => {
    const agent = sluice(t, ['agent', '--config', join(cluster.directory, 'agent.yaml')])
    await until(() => agent.output().includes('session is up'))
    t.equal((await readBytes(await dial(t, agentPort, Buffer.from('hello')), 5)).toString(), 'hello')
    return agent
  }

  const gateway = sluice(t, ['gateway', '--config', config])
  await until(() => gateway.output().includes('"ready"'))
  const created = await command('token', 'create', '--config', config, '--tenant', 'acme')
  writeFileSync(cluster.file('join-token'), `${/^sluice1\.\S+$/m.exec(created.output)?.[0] ?? ''}\n`)
  const first = await agentIsUp()
  for (const index of [0, 1, 2]) await cluster.killMember(index)
  await until(() => gateway.output().includes('the store is away'))
  first.child.kill('SIGTERM')
  await first.exitCode
  const second = await agentIsUp()
  t.match(await command('token', 'list', '--config', config), { code: 1, output: /no member of etcd answers: 127\.0\.0\.1:\d+: connect ECONNREFUSED 127\.0\.0\.1:\d+; / })

  for (const index of [0, 1, 2]) cluster.startMember(index)
  await cluster.ready()
  await until(() => gateway.output().includes('the store is back'))
  const nodes = await command('node', 'list', '--config', config)
  t.equal((await command('node', 'revoke', '--config', config, /[0-9a-f]{32}/.exec(nodes.output)?.[0] ?? '')).code, 0)
  await until(() => second.output().includes('node-revoked'))
  gateway.child.kill('SIGTERM')
  t.equal(await gateway.exitCode, 0)
  t.notMatch(gateway.output(), /correct horse/)
})
