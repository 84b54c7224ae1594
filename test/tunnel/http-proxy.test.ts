// The way to a gateway through an HTTP proxy, and what an agent says of one that gives it none.

import { test, type Test } from 'tap'
import { createCa } from '../../src/cli/demo/certificates.ts'
import { connectHeadBytesMax } from '../../src/core/tunnel/connect-head.ts'
import type { HttpProxy } from '../../src/tunnel/agent/http-proxy.ts'
import { dialGateway } from '../../src/tunnel/agent/gateway-dial.ts'
import { startProxy } from '../support/http-proxy.ts'
import { dial, readBytes, startBackend, until } from '../support/sockets.ts'
import { unresponsivePort } from '../support/unresponsive-port.ts'
import { ca, tunnelLab } from './tunnel-lab.ts'

const proxyCa = createCa('proxy CA')
const proxyCertificate = proxyCa.issue({ commonName: 'localhost', dnsNames: ['localhost'], usages: ['server'] })
const secret = 'agent:pass:wörd'

function proxyAt(port: number, { scheme = 'http', credentials }: { readonly scheme?: 'http' | 'https'; readonly credentials?: string } = {}): HttpProxy {
  return { url: new URL(`${scheme}://localhost:${port}`), caPem: proxyCa.certificatePem, credentials: () => credentials }
}

for (const scheme of ['http', 'https'] as const) {
  void test(`a session through an ${scheme} proxy carries what others do`, async (t) => {
    const lab = await tunnelLab(t)
    const gateway = await lab.gateway()
    const proxy = await startProxy(t, { credentials: secret, ...(scheme === 'https' ? { certificate: proxyCertificate } : {}) })
    const agent = await lab.agent({ gateways: [gateway.url], token: await lab.token(), proxy: proxyAt(proxy.port, { scheme, credentials: secret }) })
    await agent.up()
    t.same(proxy.targets, [`localhost:${gateway.url.port}`])
    const client = await dial(t, agent.port, Buffer.alloc(1_000_000, 'x'))
    t.equal((await readBytes(client, 1_000_000)).length, 1_000_000)
    for (const socket of gateway.sockets) socket.destroy()
    await until(() => gateway.started.length === 2)
    t.equal(proxy.targets.length, 2, 'and comes back through it')
  })
}

/** What is said of a dial that must fail. */
async function failure(t: Test, proxy: HttpProxy, { gateway = new URL('wss://localhost:1'), deadlineMs = 10_000 } = {}): Promise<string> {
  const abort = new AbortController()
  const timer = setTimeout(() => abort.abort(new Error('nothing within the time')), deadlineMs)
  try {
    const socket = await dialGateway({ gateway, caPem: ca.certificatePem, certificate: undefined, session: undefined, proxy, signal: abort.signal })
    socket.destroy()
    t.fail('connected')
    return ''
  } catch (error) {
    return error instanceof Error ? error.message : String(error)
  } finally {
    clearTimeout(timer)
  }
}

const answers: readonly (readonly [what: string, answer: string, expected: RegExp])[] = [
  ['credentials are wanted', 'HTTP/1.1 407 Proxy Authentication Required\r\nProxy-Authenticate: Basic realm="x"\r\n\r\n', /^the proxy localhost:\d+ answers 407: it wants credentials: put USER:PASSWORD into a file that proxy\.credentialsFile names$/],
  ['another scheme is wanted', 'HTTP/1.1 407 No\r\nProxy-Authenticate: Negotiate, NTLM\r\n\r\n', /407: it wants negotiate or ntlm; only Basic is spoken here/],
  ['it is not allowed', 'HTTP/1.1 403 Forbidden\r\n\r\n', /answers 403: it does not allow localhost:1: whoever runs it must allow CONNECT/],
  ['the proxy speaks something else', 'SSH-2.0-OpenSSH\r\n\r\n', /answers what is no HTTP/],
  ['the head has no end', 'HTTP/1.1 200 OK\r\nX: '.padEnd(connectHeadBytesMax + 1, 'x'), /answers a head of over 8192 bytes/],
  ['bytes behind the head are the gateway’s, and no TLS', 'HTTP/1.1 200 OK\r\n\r\nhello there, this is no TLS', /^no TLS with the gateway localhost:1: .*(WRONG_VERSION|wrong version|packet)/i],
]

void test('what a proxy answers is told, with what to do', async (t) => {
  for (const [what, answer, expected] of answers) {
    const { port } = await startBackend(t, (socket) => socket.once('data', () => socket.write(answer)))
    t.match(await failure(t, proxyAt(port)), expected, what)
  }
})

void test('a proxy that closes, says nothing, is not there, or is no proxy for TLS', async (t) => {
  const closing = await startBackend(t, (socket) => socket.once('data', () => socket.end('HTTP/1.1 2')))
  t.match(await failure(t, proxyAt(closing.port)), /^the proxy localhost:\d+ gives no answer to CONNECT: it has closed the connection$/)
  const silent = await startBackend(t)
  t.match(await failure(t, proxyAt(silent.port), { deadlineMs: 2_000 }), /gives no answer to CONNECT: nothing within the time$/)
  t.match(await failure(t, proxyAt(await unresponsivePort(t)), { deadlineMs: 100 }), /^no TCP connection to the proxy localhost:\d+: nothing within the time$/)
  await silent.close()
  t.match(await failure(t, proxyAt(silent.port)), /^no TCP connection to the proxy localhost:\d+: .*ECONNREFUSED/)
  const untrusted = { ...proxyAt((await startProxy(t, { certificate: proxyCertificate })).port, { scheme: 'https' }), caPem: ca.certificatePem }
  t.match(await failure(t, untrusted), /^no TLS with the proxy localhost:\d+: /)
  t.match(await failure(t, { ...proxyAt(1), url: new URL('http://nowhere.invalid:3128') }), /^the name of the proxy nowhere\.invalid:3128 can't be resolved: /)
  const working = await startProxy(t)
  t.match(await failure(t, proxyAt(working.port)), /answers 502: it can't reach localhost:1$/)
  t.match(await failure(t, proxyAt(working.port), { gateway: new URL(`wss://localhost:${closing.port}`) }), /^no TLS with the gateway localhost:\d+: /)
})

void test('no error repeats credentials', async (t) => {
  const proxy = await startProxy(t, { credentials: secret })
  const why = await failure(t, proxyAt(proxy.port, { credentials: 'agent:wrong-word' }))
  t.match(why, /407: it refuses the credentials of proxy\.credentialsFile$/)
  t.notMatch(why, /wrong-word/)
  t.notOk(why.includes(Buffer.from('agent:wrong-word').toString('base64')))
  t.match(await failure(t, { ...proxyAt(proxy.port), credentials: () => {
    throw new Error('proxy.credentialsFile: can not be read')
  } }), /^proxy\.credentialsFile: can not be read$/)
})
