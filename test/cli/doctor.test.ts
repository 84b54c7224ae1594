// `sluice doctor` against gateways and nodes with real faults.

import { chmodSync, existsSync, readFileSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:https'
import { join } from 'node:path'
import { test } from 'tap'
import { createCa, type IssuedCertificate } from '../../src/cli/demo/certificates.ts'
import { doctor } from '../../src/cli/doctor.ts'
import { run, type Outcome } from '../support/command.ts'
import { startProxy } from '../support/http-proxy.ts'
import { createTunnelServer } from '../support/tunnel-server.ts'
import { startBackend, until } from '../support/sockets.ts'
import { ca, tunnelLab, type Lab, type TestGateway } from '../tunnel/tunnel-lab.ts'

interface Examined {
  /** More of the configuration. */
  readonly more?: string
  readonly node?: string
  readonly forward?: string
}

/** The lab's agents have their state in folders named after their nodes. */
async function examine(lab: Lab, gateway: URL, { more = '', node = 'worker-1', forward = '127.0.0.1:0' }: Examined = {}): Promise<Outcome> {
  const file = join(lab.directory, 'agent.yaml')
  writeFileSync(join(lab.directory, 'ca.crt'), ca.certificatePem)
  writeFileSync(file, `gateways: [${gateway.href}]\ncaFile: ca.crt\nstate: { directory: ${node} }\nnode: { name: ${node} }\nforward: [{ listen: ${forward} }]\n${more}`)
  return await run(doctor, '--config', file)
}

async function enrolled(lab: Lab, gateway: TestGateway, node: string): Promise<void> {
  const agent = await lab.agent({ gateways: [gateway.url], token: await lab.token(), node })
  await agent.up()
  await agent.agent.stop()
  await until(() => gateway.ended.length > 0)
}

void test('an enrolled node is well, and so is one that is to be: its token is not used up', async (t) => {
  const lab = await tunnelLab(t)
  const gateway = await lab.gateway()
  const token = await lab.token()
  const before = await examine(lab, gateway.url, { more: 'token: { file: join-token }\n' })
  t.equal(before.code, 1)
  t.match(before.stdout, /^FAILED +token +the join token can’t be read: ENOENT/m)
  writeFileSync(join(lab.directory, 'join-token'), `${token}\n`)
  const waiting = await examine(lab, gateway.url, { more: 'token: { file: join-token }\n' })
  t.equal(waiting.code, 0)
  t.match(waiting.stdout, /^- +identity +the node has no key yet/m)
  t.notOk(existsSync(join(lab.directory, 'worker-1')), 'no key was made')
  t.notOk(waiting.stdout.includes(token))
  const agent = await lab.agent({ gateways: [gateway.url], token, node: 'worker-1' })
  await agent.up()
  const well = await examine(lab, gateway.url)
  t.equal(well.code, 0)
  for (const line of [
    /^ok +configuration .*agent\.yaml.*worker-1$/m, /^ok +state .*key is there/m, /^ok +name +localhost is .*127\.0\.0\.1/m, /^ok +tcp +localhost:\d+ accepts/m, /^ok +tls +TLSv1\.3, exporter; certificate of tunnel CA, (29|30) days left$/m,
    /^ok +clock +the same/m, /^ok +endpoint/m, /^ok +packets +packets of full size reach the gateway: 12288 bytes at once/m, /^ok +identity +the node is let in/m, /^ok +forward/m, /^all 11 checks are ok$/m,
  ]) t.match(well.stdout, line)
  await until(() => gateway.ended.length === 1)
  t.ok(agent.agent.isUp, 'the agent’s own session goes on')
})

void test('certificates that no node should trust', async (t) => {
  const lab = await tunnelLab(t)
  const name = { commonName: 'localhost', dnsNames: ['localhost'], usages: ['server'] as const }
  const cases: readonly (readonly [IssuedCertificate, RegExp])[] = [
    [ca.issue({ ...name, daysLeft: -3 }), /^FAILED +tls +the gateway’s certificate expired on [\d-]+\n +▶ renew it/m],
    [ca.issue({ ...name, daysLeft: 3 }), /^FAILED +tls +TLSv1\.3, and the certificate is trusted, but has [23] days left/m],
    [ca.issue({ ...name, dnsNames: ['elsewhere.example.test'] }), /^FAILED +tls .*is not for localhost, but for DNS:elsewhere\.example\.test/m],
    [createCa('inspecting CA').issue(name), /^FAILED +tls .*comes from inspecting CA, whom this node does not trust/m],
  ]
  for (const [certificate, expected] of cases) {
    const gateway = await lab.gateway({ certificate })
    const { code, stdout } = await examine(lab, gateway.url)
    t.equal(code, 1)
    t.match(stdout, expected)
    t.match(stdout, /^ok +clock/m, 'the clock is looked at in any case')
  }
})

void test('a clock that differs from the gateway’s', async (t) => {
  const lab = await tunnelLab(t)
  const { certificatePem, keyPem } = ca.issue({ commonName: 'localhost', dnsNames: ['localhost'], usages: ['server'] })
  const server = createServer({ cert: certificatePem, key: keyPem }, (_request, response) => {
    response.writeHead(426, { Upgrade: 'websocket', Connection: 'close', Date: new Date(Date.now() - 90_000).toUTCString() }).end()
  }).listen(0, '127.0.0.1')
  t.teardown(() => server.close())
  await until(() => server.listening)
  const bound = server.address()
  const { code, stdout } = await examine(lab, new URL(`wss://localhost:${typeof bound === 'object' ? bound?.port : 0}`))
  t.equal(code, 1)
  t.match(stdout, /^FAILED +clock +this node’s clock is (89|90|91) s ahead of the gateway’s\n +▶ set the clock that is wrong/m)
})

void test('who is not let in is told why', async (t) => {
  const lab = await tunnelLab(t)
  const gateway = await lab.gateway()
  await enrolled(lab, gateway, 'worker-1')
  await lab.identities.revokeNode(gateway.started[0]?.keyId ?? '')
  t.match((await examine(lab, gateway.url)).stdout, /^FAILED +identity .*401 node-revoked\n +▶ the node was revoked/m)
  const stranger = await lab.agent({ gateways: [gateway.url], node: 'worker-2' })
  await until(() => stranger.refusals.length > 0)
  t.match((await examine(lab, gateway.url, { node: 'worker-2' })).stdout, /^FAILED +identity .*401 node-unknown\n +▶ .*join token/m)
})

void test('a node with a certificate', async (t) => {
  const lab = await tunnelLab(t)
  const agentsCa = createCa('agents CA')
  const gateway = await lab.gateway({ clientCaPem: agentsCa.certificatePem })
  const more = 'certificate: { certFile: node.crt, keyFile: node.key }\n'
  t.match((await examine(lab, gateway.url, { more })).stdout, /^FAILED +certificate +certificate\.certFile: ENOENT.*\n +▶ put the node’s certificate[^]*^- +identity +the node has nothing yet/m)
  const good = { commonName: 'worker-1', organization: 'acme', usages: ['client'] } as const
  const put = ({ certificatePem, keyPem }: IssuedCertificate): void => {
    for (const [name, text] of [['node.crt', certificatePem], ['node.key', keyPem]] as const) writeFileSync(join(lab.directory, name), text, { mode: 0o600 })
  }
  put(agentsCa.issue(good))
  const well = await examine(lab, gateway.url, { more })
  t.equal(well.code, 0)
  t.match(well.stdout, /^ok +certificate +node\.crt: worker-1 of acme, until [\dT:-]+Z$[^]*^ok +identity +the node is let in[^]*^all 10 checks are ok$/m)
  const wrongs: readonly (readonly [IssuedCertificate, RegExp])[] = [
    [agentsCa.issue({ ...good, organization: [] }), /^FAILED +certificate .*no O, the tenant[^]*^FAILED +identity .*401 certificate-wrong/m],
    [agentsCa.issue({ ...good, commonName: 'worker-2' }), /^FAILED +certificate .*for the node worker-2, and this one is worker-1\n.*set node\.name/m],
    [agentsCa.issue({ ...good, daysLeft: 0.001 }), /^FAILED +certificate .*which is soon\n +▶ renew it/m],
    [createCa('another CA').issue(good), /^ok +certificate [^]*^FAILED +identity .*401 certificate-wrong\n +▶ .*tunnel\.clientCaFile/m],
  ]
  for (const [certificate, expected] of wrongs) {
    put(certificate)
    t.match((await examine(lab, gateway.url, { more })).stdout, expected)
  }
  put(agentsCa.issue(good))
  chmodSync(join(lab.directory, 'node.key'), 0o644)
  t.match((await examine(lab, gateway.url, { more })).stdout, /^FAILED +certificate +node\.key can be read by others \(mode 644\)/m)
})

void test('a way that ends early: name, TCP, proxy, TLS, and what is no gateway', async (t) => {
  const lab = await tunnelLab(t)
  const gone = await startBackend(t)
  await gone.close()
  t.match((await examine(lab, new URL('wss://nowhere.invalid:6443'))).stdout, /^FAILED +name .*nowhere\.invalid.*\n +▶ look the name up/m)
  t.match((await examine(lab, new URL(`wss://localhost:${gone.port}`))).stdout, /^FAILED +tcp .*ECONNREFUSED.*\n +▶ the machine is there and nothing listens/m)
  const proxy = await startProxy(t, { credentials: 'user:right' })
  writeFileSync(join(lab.directory, 'proxy-credentials'), 'user:hush-hush')
  const refused = await examine(lab, new URL('wss://localhost:1'), { more: `proxy: { url: "http://localhost:${proxy.port}", credentialsFile: proxy-credentials }\n` })
  t.match(refused.stdout, /^FAILED +proxy .*407: it refuses the credentials of proxy\.credentialsFile\n +▶ /m)
  t.notMatch(refused.stdout, /hush-hush/)
  const plain = await startBackend(t, (socket) => socket.end('HTTP/1.1 400 no\r\n\r\n'))
  t.match((await examine(lab, new URL(`wss://localhost:${plain.port}`))).stdout, /^ok +tcp[^]*^FAILED +tls .*\n +▶ what answers there does not speak TLS/m)
  const other = createTunnelServer(ca.issue({ commonName: 'localhost', dnsNames: ['localhost'], usages: ['server'] })).listen(0, '127.0.0.1')
  t.teardown(() => other.close())
  await until(() => other.listening)
  const bound = other.address()
  t.match((await examine(lab, new URL(`wss://localhost:${typeof bound === 'object' ? bound?.port : 0}`))).stdout, /^ok +tls[^]*^FAILED +endpoint +what answers is no tunnel gateway: 200/m)
})

void test('the node’s own faults', async (t) => {
  const lab = await tunnelLab(t)
  const gateway = await lab.gateway()
  await enrolled(lab, gateway, 'worker-1')
  const taken = await startBackend(t)
  t.match((await examine(lab, gateway.url, { forward: `127.0.0.1:${taken.port}` })).stdout, /^FAILED +forward .*in use by another program/m)
  t.match((await examine(lab, gateway.url, { forward: '198.51.100.1:6443' })).stdout, /^FAILED +forward +198\.51\.100\.1:6443: no device of this node has the address/m)
  const key = join(lab.directory, 'worker-1', 'node-key.pem')
  chmodSync(key, 0o644)
  t.match((await examine(lab, gateway.url)).stdout, /^FAILED +state .*node-key\.pem can be read by others \(mode 644\)/m)
  chmodSync(key, 0o600)
  const pem = readFileSync(key)
  writeFileSync(key, 'no key')
  t.match((await examine(lab, gateway.url)).stdout, /^FAILED +state +the node’s key can’t be used/m)
  writeFileSync(key, pem)
  t.match((await examine(lab, gateway.url, { more: 'proxy: { url: "https://localhost:1", caFile: none.crt }\n' })).stdout, /^FAILED +configuration +proxy\.caFile: ENOENT/m)
  const wrong = await examine(lab, gateway.url, { more: 'foward: []\n' })
  t.equal(wrong.code, 1)
  t.match(wrong.stdout, /^FAILED +configuration +agent\.yaml:6:1: foward: unknown key; did you mean forward\?/m)
})
