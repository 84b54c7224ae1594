// Gateway, token and agent as commands: a node joins, its connections reach the API server, and a revoked one is out.

import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test, type Test } from 'tap'
import { createCa } from '../../src/cli/demo/certificates.ts'
import { freePort } from '../../bench/free-port.ts'
import { sluice, type Process } from '../support/sluice-process.ts'
import { dial, readBytes, readToEnd, startEcho, until } from '../support/sockets.ts'

interface Place {
  readonly gateway: Process
  readonly adminPort: number
  readonly agentPort: number
  readonly folder: string
  /** Runs a command to its end. */
  readonly run: (...args: string[]) => Promise<{ readonly code: number | null; readonly output: string }>
  readonly agent: () => Process
}

async function place(t: Test, driver: 'linux' | 'node'): Promise<Place> {
  const folder = t.testdir()
  const echo = await startEcho(t)
  const [port, adminPort, agentPort] = [await freePort(), await freePort(), await freePort()]
  const ca = createCa('tunnel CA')
  const { certificatePem, keyPem } = ca.issue({ commonName: 'localhost', dnsNames: ['localhost'], usages: ['server'] })
  const files: Readonly<Record<string, string>> = {
    'tunnel.crt': certificatePem, 'tunnel.key': keyPem, 'ca.crt': ca.certificatePem,
    'sluice.yaml': `listeners: [{ address: 127.0.0.1:${port} }]
relay: { driver: ${driver}, workers: 1, warmUp: 0s }
defaults: { timeouts: { drainGrace: 0s } }
tenants: [{ name: acme, hostnames: [acme.example.test], apiServer: { endpoints: [127.0.0.1:${echo.port}] } }]
tunnel: { hostnames: [localhost], certificate: { certFile: tunnel.crt, keyFile: tunnel.key } }
state: { directory: state }
admin: { address: 127.0.0.1:${adminPort} }
`,
    'agent.yaml': `gateways: [wss://localhost:${port}]
caFile: ca.crt
token: { file: join-token }
state: { directory: agent-state }
node: { name: worker-1 }
forward: [{ listen: 127.0.0.1:${agentPort} }]
`,
  }
  mkdirSync(folder, { recursive: true })
  for (const [name, text] of Object.entries(files)) writeFileSync(join(folder, name), text)
  const gateway = sluice(t, ['gateway', '--config', join(folder, 'sluice.yaml')])
  await until(() => gateway.output().includes('"ready"'))
  return {
    gateway, adminPort, agentPort, folder,
    run: async (...args) => {
      const process_ = sluice(t, args)
      return { code: await process_.exitCode, output: process_.output() }
    },
    agent: () => sluice(t, ['agent', '--config', join(folder, 'agent.yaml')]),
  }
}

for (const driver of ['linux', 'node'] as const) {
  void test(`with the ${driver} driver, a node joins, is served, and is revoked`, { skip: driver === 'linux' && process.platform !== 'linux' }, async (t) => {
    const { gateway, adminPort, agentPort, folder, run, agent } = await place(t, driver)
    const config = join(folder, 'sluice.yaml')
    const waiting = agent()
    await until(() => waiting.output().includes('401 node-unknown'))
    t.match(waiting.output(), /put a join token into token\.file/)
    const created = await run('token', 'create', '--config', config, '--tenant', 'acme')
    t.equal(created.code, 0)
    const token = /^sluice1\.\S+$/m.exec(created.output)?.[0] ?? ''
    writeFileSync(join(folder, 'join-token'), `${token}\n`)
    await until(() => waiting.output().includes('session is up'))
    const client = await dial(t, agentPort, Buffer.from('hello'))
    t.equal((await readBytes(client, 5)).toString(), 'hello')
    const metrics = await (await fetch(`http://127.0.0.1:${adminPort}/metrics`)).text()
    t.match(metrics, /sluice_tunnel_sessions 1\n/)
    t.match(metrics, /sluice_tunnel_streams 1\n/)
    t.match(metrics, /sluice_tunnel_sessions_started_total\{enrolled="true"\} 1\n/)
    t.match(metrics, /sluice_tunnel_sessions_refused_total\{reason="node-unknown"\} [1-9]/)
    const nodes = await run('node', 'list', '--config', config)
    const [, key = ''] = /^([0-9a-f]{32}) +acme +worker-1 +\S+ +[0-9a-f]{16} +enrolled$/m.exec(nodes.output) ?? []
    t.match((await run('token', 'list', '--config', config)).output, /acme +1\/1 .*used up/)
    const ending = readToEnd(client)
    t.equal((await run('node', 'revoke', '--config', config, key)).code, 0)
    t.match(await ending, { how: 'ECONNRESET' })
    await until(() => waiting.output().includes('401 node-revoked'))
    for (const { output } of [gateway, waiting]) t.notOk(output().includes(token.split('.')[2] ?? ''), 'no secret in a log')
    gateway.child.kill('SIGTERM')
    t.equal(await gateway.exitCode, 0)
    waiting.child.kill('SIGTERM')
    t.equal(await waiting.exitCode, 0)
  })
}

void test('a node joins by a certificate once its authority is known, is listed, and is revoked', async (t) => {
  const { gateway, agentPort, folder, run } = await place(t, process.platform === 'linux' ? 'linux' : 'node')
  const config = join(folder, 'sluice.yaml')
  const agentsCa = createCa('agents CA')
  const write = (name: string, text: string): void => writeFileSync(join(folder, name), text)
  const { certificatePem, keyPem } = agentsCa.issue({ commonName: 'worker-1', organization: 'acme', usages: ['client'] })
  for (const [name, text] of [['node.crt', certificatePem], ['node.key', createCa('another').issue({ commonName: 'x', usages: [] }).keyPem], ['agents-ca.crt', 'nothing']] as const) write(name, text)
  write('agent.yaml', readFileSync(join(folder, 'agent.yaml'), 'utf8').replace('token: { file: join-token }', 'certificate: { certFile: node.crt, keyFile: node.key }'))
  const wrong = await run('agent', '--config', join(folder, 'agent.yaml'))
  t.match(wrong, { code: 2, output: /certificate: node\.crt and node\.key can't be used: .*key values mismatch/ })
  write('node.key', keyPem)
  const joining = sluice(t, ['agent', '--config', join(folder, 'agent.yaml')])
  await until(() => joining.output().includes('401 certificate-missing'))
  t.match(joining.output(), /a certificate needs tunnel\.clientCaFile/)
  write('sluice.yaml', readFileSync(config, 'utf8').replace('tunnel: { ', 'tunnel: { clientCaFile: agents-ca.crt, '))
  await until(() => gateway.output().includes('tunnel.clientCaFile: agents-ca.crt has no certificate'))
  write('agents-ca.crt', certificatePem)
  gateway.child.kill('SIGHUP')
  await until(() => gateway.output().includes('tunnel.clientCaFile: agents-ca.crt, certificate 1 is no authority’s: O=acme, CN=worker-1'))
  write('agents-ca.crt', agentsCa.certificatePem)
  gateway.child.kill('SIGHUP')
  await until(() => joining.output().includes('session is up'))
  const client = await dial(t, agentPort, Buffer.from('hello'))
  t.equal((await readBytes(client, 5)).toString(), 'hello')
  const [, key = ''] = /^([0-9a-f]{32}) +acme +worker-1 +\S+ +certificate +enrolled$/m.exec((await run('node', 'list', '--config', config)).output) ?? []
  const ending = readToEnd(client)
  t.equal((await run('node', 'revoke', '--config', config, key)).code, 0)
  t.match(await ending, { how: 'ECONNRESET' })
  await until(() => joining.output().includes('401 node-revoked'))
})

void test('an agent outlives its gateway, and comes back when it does', async (t) => {
  const { gateway, agentPort, folder, run, agent } = await place(t, 'linux')
  const config = join(folder, 'sluice.yaml')
  const { output } = await run('token', 'create', '--config', config, '--tenant', 'acme')
  writeFileSync(join(folder, 'join-token'), /^sluice1\.\S+$/m.exec(output)?.[0] ?? '')
  const joined = agent()
  await until(() => joined.output().includes('session is up'))
  gateway.child.kill('SIGKILL')
  await until(() => joined.output().includes('no session'))
  const again = sluice(t, ['gateway', '--config', config])
  await until(() => again.output().includes('"ready"') && joined.output().split('session is up').length > 2)
  const client = await dial(t, agentPort, Buffer.from('again'))
  t.equal((await readBytes(client, 5)).toString(), 'again')
})

void test('a certificate that is not there is told with its key, and the gateway does not start', async (t) => {
  const { folder, run } = await place(t, 'node')
  const config = join(folder, 'other.yaml')
  writeFileSync(config, readFileSync(join(folder, 'sluice.yaml'), 'utf8').replace('tunnel.crt', 'nothing.crt').replaceAll(/127\.0\.0\.1:\d+ \}/g, '127.0.0.1:0 }'))
  const { code, output } = await run('gateway', '--config', config)
  t.not(code, 0)
  t.match(output, /tunnel\.certificate\.certFile.*ENOENT.*nothing\.crt/)
})

const mistakes: readonly (readonly [string, readonly string[], number, RegExp])[] = [
  ['no tenant', ['token', 'create'], 2, /--tenant NAME is needed/],
  ['a tenant that there is not', ['token', 'create', '--tenant', 'acm'], 2, /there is no tenant "acm"; did you mean acme\?/],
  ['a life that is none', ['token', 'create', '--tenant', 'acme', '--ttl', 'long'], 2, /--ttl long: expected a duration/],
  ['a life that is too long', ['token', 'create', '--tenant', 'acme', '--ttl', '721h'], 2, /30 days at most/],
  ['no number of uses', ['token', 'create', '--tenant', 'acme', '--uses', 'many'], 2, /--uses many: expected a whole number/],
  ['a token that there is not', ['token', 'revoke', '0123456789abcdef'], 1, /there is no token "0123456789abcdef"/],
  ['a node that there is not', ['node', 'revoke', 'worker-1'], 1, /there is no node "worker-1".*node list/],
  ['no such action', ['node', 'bless'], 2, /no action "bless"/],
]

void test('what is wrong with a command is told', async (t) => {
  const folder = t.testdir({ 'sluice.yaml': 'listeners: [{ address: 127.0.0.1:0 }]\ntenants: [{ name: acme, hostnames: [a.example.test], apiServer: { endpoints: [127.0.0.1:1] } }]\nstate: { directory: state }\n' })
  for (const [what, args, code, reason] of mistakes) {
    const process_ = sluice(t, [...args, '--config', join(folder, 'sluice.yaml')])
    t.equal(await process_.exitCode, code, what)
    t.match(process_.output(), reason, what)
  }
})
