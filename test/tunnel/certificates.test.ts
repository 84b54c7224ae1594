// Agents that come with a certificate: who is let in, who is not and why, and what happens when certificates change.

import { connect, type TLSSocket } from 'node:tls'
import { once } from 'node:events'
import { test, type Test } from 'tap'
import { createCa, type IssuedCertificate } from '../../src/cli/demo/certificates.ts'
import type { ClientCertificate } from '../../src/tunnel/agent/credentials.ts'
import { startProxy } from '../support/http-proxy.ts'
import { dial, readBytes, readToEnd, until } from '../support/sockets.ts'
import { ca, serverCertificate, tunnelLab, type TestGateway } from './tunnel-lab.ts'

const agentsCa = createCa('agents CA')
const clientCaPem = agentsCa.certificatePem
const goodRequest = { commonName: 'worker-1', organization: 'acme', usages: ['client'] } as const

function pems({ certificatePem, keyPem }: IssuedCertificate): ClientCertificate {
  return { certPem: certificatePem, keyPem }
}

const good = pems(agentsCa.issue(goodRequest))

interface Asked {
  readonly answer: string
  readonly isResumed: boolean
  /** To be resumed. */
  readonly session: Buffer | undefined
}

/** A session is asked for by hand. */
async function ask(gateway: TestGateway, { certificate, session, headers = {} }: { readonly certificate?: ClientCertificate; readonly session?: Buffer | undefined; readonly headers?: Readonly<Record<string, string>> }): Promise<Asked> {
  const socket: TLSSocket = connect({
    host: '127.0.0.1', port: Number(gateway.url.port), servername: 'localhost', ca: ca.certificatePem, minVersion: 'TLSv1.3',
    ...(certificate === undefined ? {} : { cert: certificate.certPem, key: certificate.keyPem }), ...(session === undefined ? {} : { session }),
  })
  let ticket: Buffer | undefined
  socket.on('session', (its) => {
    ticket = its
  })
  await once(socket, 'secureConnect')
  const fields = { 'Host': 'localhost', 'Connection': 'Upgrade', 'Upgrade': 'websocket', 'Sec-WebSocket-Version': '13', 'Sec-WebSocket-Key': Buffer.alloc(16).toString('base64'), ...headers }
  socket.write(`GET /v1/tunnel HTTP/1.1\r\n${Object.entries(fields).map(([name, value]) => `${name}: ${value}\r\n`).join('')}\r\n`)
  const [bytes] = await once(socket, 'data') as [Buffer]
  const isResumed = socket.isSessionReused()
  socket.destroy()
  const text = bytes.toString('latin1')
  return { answer: `${text.slice(9, 12)} ${/"reason":"([a-z-]+)"/.exec(text)?.[1] ?? ''}`.trim(), isResumed, session: ticket }
}

void test('a node with a certificate needs no token, and is known from then on', async (t) => {
  const lab = await tunnelLab(t)
  const gateway = await lab.gateway({ clientCaPem })
  const agent = await lab.agent({ gateways: [gateway.url], node: 'worker-1', certificate: () => good })
  await agent.up()
  const client = await dial(t, agent.port, Buffer.from('hello'))
  t.equal((await readBytes(client, 5)).toString(), 'hello')
  t.match(gateway.started, [{ tenant: 'acme', node: 'worker-1', enrolled: true }])
  t.match(await lab.identities.nodes(), [{ tenant: 'acme', name: 'worker-1', enrolledBy: 'certificate', keyId: gateway.started[0]?.keyId }])
  for (const socket of gateway.sockets) socket.destroy()
  await until(() => gateway.started.length === 2)
  t.match(gateway.started[1], { node: 'worker-1', enrolled: false, keyId: gateway.started[0]?.keyId })
  t.same(gateway.refused, [])
})

void test('a key and a token are as good where certificates are asked for', async (t) => {
  const lab = await tunnelLab(t)
  const gateway = await lab.gateway({ clientCaPem })
  await (await lab.agent({ gateways: [gateway.url], token: await lab.token() })).up()
  t.match(await lab.identities.nodes(), [{ enrolledBy: /^[0-9a-f]{16}$/ }])
})

const refusals: readonly (readonly [what: string, certificate: IssuedCertificate, reason: string, detail: RegExp])[] = [
  ['expired', agentsCa.issue({ ...goodRequest, daysLeft: -1 }), 'certificate-wrong', /CERT_HAS_EXPIRED/],
  ['of another authority', createCa('another CA').issue(goodRequest), 'certificate-wrong', /not valid under clientCaFile: UNABLE_TO_VERIFY_LEAF_SIGNATURE|UNABLE_TO_GET_ISSUER_CERT/],
  ['of another authority of the same name', createCa('agents CA').issue(goodRequest), 'certificate-wrong', /not valid under clientCaFile: /],
  ['without an organization', agentsCa.issue({ commonName: 'worker-1', usages: ['client'] }), 'certificate-wrong', /has no O, the tenant/],
  ['with two organizations', agentsCa.issue({ ...goodRequest, organization: ['acme', 'globex'] }), 'certificate-wrong', /more than one O/],
  ['for a server', agentsCa.issue({ ...goodRequest, usages: ['server'] }), 'certificate-wrong', /INVALID_PURPOSE/],
  ['for no purpose that it says', agentsCa.issue({ ...goodRequest, usages: [] }), 'certificate-wrong', /no clientAuth/],
  ['for a name that is none', agentsCa.issue({ ...goodRequest, commonName: 'Worker 1' }), 'certificate-wrong', /CN, the node’s name, is no name: "Worker 1"/],
  ['of another node', agentsCa.issue({ ...goodRequest, commonName: 'worker-2' }), 'name-mismatch', /the certificate is worker-2’s/],
]

void test('a certificate that is wrong is refused, told why in the log, and no token helps it', async (t) => {
  const lab = await tunnelLab(t)
  const gateway = await lab.gateway({ clientCaPem })
  const token = await lab.token()
  for (const [what, certificate, reason, detail] of refusals) {
    const before = gateway.refused.length
    const agent = await lab.agent({ gateways: [gateway.url], node: 'worker-1', certificate: () => pems(certificate) })
    await until(() => agent.refusals.length > 0)
    await agent.agent.stop()
    t.equal(agent.refusals[0], `401 ${reason}`, what)
    t.ok(gateway.refused.some((each, index) => index >= before && each === reason && detail.test(gateway.details[index] ?? '')), what)
    t.equal((await ask(gateway, { certificate: pems(certificate), headers: { 'Sluice-Node': 'worker-1', 'Authorization': `Bearer ${token}`, 'Sluice-Key': Buffer.alloc(32).toString('base64url'), 'Sluice-Proof': Buffer.alloc(64).toString('base64url') } })).answer, `401 ${reason}`, what)
  }
  t.same([gateway.started, await lab.identities.nodes()], [[], []])
})

void test('a key that is known under another name, or to another tenant, is not let in by a new certificate', async (t) => {
  const lab = await tunnelLab(t)
  const gateway = await lab.gateway({ clientCaPem })
  t.equal((await ask(gateway, { certificate: good })).answer, '101')
  const renewed = pems(agentsCa.issue({ ...goodRequest, keyPem: good.keyPem }))
  t.equal((await ask(gateway, { certificate: renewed })).answer, '101', 'renewed')
  for (const changed of [{ commonName: 'worker-2' }, { organization: 'globex' }]) {
    t.equal((await ask(gateway, { certificate: pems(agentsCa.issue({ ...goodRequest, ...changed, keyPem: good.keyPem })) })).answer, '401 name-mismatch')
  }
  t.same(gateway.started.map(({ tenant, enrolled }) => ({ tenant, enrolled })), [{ tenant: 'acme', enrolled: true }, { tenant: 'acme', enrolled: false }])
})

void test('a node with a certificate is revoked as others are', async (t) => {
  const lab = await tunnelLab(t)
  const gateway = await lab.gateway({ clientCaPem })
  const watch = await lab.identities.watchRevocations((keyId) => gateway.tunnel.revoke(keyId), (why) => t.fail(why))
  const agent = await lab.agent({ gateways: [gateway.url], node: 'worker-1', certificate: () => good })
  await agent.up()
  const client = await dial(t, agent.port, Buffer.from('x'))
  await readBytes(client, 1)
  await lab.identities.revokeNode(gateway.started[0]?.keyId ?? '')
  t.match(await readToEnd(client), { how: 'ECONNRESET' })
  await until(() => agent.refusals.length > 0)
  t.equal(agent.refusals[0], '401 node-revoked')
  const renewed = pems(agentsCa.issue({ ...goodRequest, keyPem: good.keyPem }))
  t.equal((await ask(gateway, { certificate: renewed })).answer, '401 node-revoked', 'nor with a renewed one')
  watch.close()
})

void test('a TLS session that is resumed is still its certificate’s', async (t) => {
  const lab = await tunnelLab(t)
  const gateway = await lab.gateway({ clientCaPem })
  const first = await ask(gateway, { certificate: good })
  t.match(first, { answer: '101', isResumed: false })
  // Without a certificate of its own: what the gateway sees is from the ticket.
  const second = await ask(gateway, { session: first.session })
  t.match(second, { answer: '101', isResumed: true })
  t.equal(gateway.started[1]?.keyId, gateway.started[0]?.keyId)
  const other = await ask(gateway, { certificate: pems(createCa('another CA').issue(goodRequest)) })
  t.match(other, { answer: '401 certificate-wrong', isResumed: false })
  t.match(await ask(gateway, { session: other.session }), { answer: '401 certificate-wrong', isResumed: true })
  const none = await ask(gateway, {})
  t.match(await ask(gateway, { headers: { 'Sluice-Node': 'worker-1' }, session: none.session }), { answer: '401 certificate-missing', isResumed: true }, 'one without a certificate too')
})

void test('a certificate that expires is not let in by resuming its TLS session', async (t) => {
  const lab = await tunnelLab(t)
  const gateway = await lab.gateway({ clientCaPem })
  const lifeMs = 4_000
  const { answer, session } = await ask(gateway, { certificate: pems(agentsCa.issue({ ...goodRequest, daysLeft: lifeMs / 86_400_000 })) })
  t.equal(answer, '101')
  const expiresAtMs = Date.now() + lifeMs
  await until(() => Date.now() > expiresAtMs)
  t.match(await ask(gateway, { session }), { answer: '401 certificate-wrong', isResumed: true })
  t.equal(gateway.details.at(-1), 'it has expired')
})

void test('an agent reads its certificate at each try, and does not resume with another’s session', async (t) => {
  const lab = await tunnelLab(t)
  const gateway = await lab.gateway({ clientCaPem })
  let read = (): ClientCertificate => {
    throw new Error('certificate.certFile: ENOENT')
  }
  const agent = await lab.agent({ gateways: [gateway.url], node: 'worker-1', certificate: () => read() })
  await until(() => agent.agent.links[0]?.state.kind === 'waiting')
  t.match(agent.agent.links[0]?.state, { why: 'certificate.certFile: ENOENT', fault: { kind: 'unreachable', step: 'tls' } })
  read = () => ({ certPem: good.certPem, keyPem: pems(agentsCa.issue(goodRequest)).keyPem })
  await until(() => agent.agent.links[0]?.lastFault?.why.includes('key values mismatch') === true)
  read = () => good
  await agent.up()
  const other = pems(agentsCa.issue(goodRequest))
  read = () => other
  for (const socket of gateway.sockets) socket.destroy()
  await until(() => gateway.started.length === 2)
  t.not(gateway.started[1]?.keyId, gateway.started[0]?.keyId)
  t.equal((await lab.identities.nodes()).length, 2)
})

void test('a certificate goes through an HTTP proxy, which is not shown it', async (t) => {
  const lab = await tunnelLab(t)
  const gateway = await lab.gateway({ clientCaPem })
  const proxyCa = createCa('proxy CA')
  const proxy = await startProxy(t, { certificate: proxyCa.issue({ commonName: 'localhost', dnsNames: ['localhost'], usages: ['server'] }) })
  const agent = await lab.agent({ gateways: [gateway.url], node: 'worker-1', certificate: () => good, proxy: { url: new URL(`https://localhost:${proxy.port}`), caPem: proxyCa.certificatePem, credentials: () => undefined } })
  await agent.up()
  t.equal(proxy.targets.length, 1)
  t.match(gateway.started, [{ tenant: 'acme', node: 'worker-1' }])
})

async function answers(t: Test, gateway: TestGateway, expected: string): Promise<void> {
  t.equal((await ask(gateway, { certificate: good, headers: { 'Sluice-Node': 'worker-1' } })).answer, expected)
}

void test('authorities are changed while the gateway runs', async (t) => {
  const lab = await tunnelLab(t)
  const gateway = await lab.gateway()
  await answers(t, gateway, '401 certificate-missing')
  gateway.tunnel.setCertificate({ ...serverCertificate, clientCaPem })
  await answers(t, gateway, '101')
  const { session } = await ask(gateway, { certificate: good })
  gateway.tunnel.setCertificate({ ...serverCertificate, clientCaPem: createCa('another CA').certificatePem })
  await answers(t, gateway, '401 certificate-wrong')
  t.match(await ask(gateway, { headers: { 'Sluice-Node': 'worker-1' }, session }), { answer: '401 certificate-missing', isResumed: false }, 'nor by a ticket of before')
  gateway.tunnel.setCertificate({ ...serverCertificate, clientCaPem: `${createCa('another CA').certificatePem}${clientCaPem}` })
  await answers(t, gateway, '101')
  gateway.tunnel.setCertificate(serverCertificate)
  await answers(t, gateway, '401 certificate-missing')
})
