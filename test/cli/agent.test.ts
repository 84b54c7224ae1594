// `sluice agent` as a process, where no gateway is needed: what it refuses to start with, and what it says while it waits.

import { join } from 'node:path'
import { test } from 'tap'
import { startProxy } from '../support/http-proxy.ts'
import { sluice } from '../support/sluice-process.ts'
import { until } from '../support/sockets.ts'

const minimal = 'gateways: [wss://localhost:1]\nforward: [{ listen: 127.0.0.1:0 }]\nstate: { directory: state }\n'
const withProxy = `${minimal}proxy: { url: "http://localhost:1", credentialsFile: proxy-credentials }\n`

const refused: readonly (readonly [what: string, files: Readonly<Record<string, string>>, expected: RegExp])[] = [
  ['credentials that are not there', { 'agent.yaml': withProxy }, /^sluice agent: proxy\.credentialsFile: ENOENT.*proxy-credentials/],
  ['credentials without a password', { 'agent.yaml': withProxy, 'proxy-credentials': 'hush-hush\n' }, /^sluice agent: proxy\.credentialsFile: .*proxy-credentials must hold one line, USER:PASSWORD, and nothing else\n$/],
  ['credentials of two lines', { 'agent.yaml': withProxy, 'proxy-credentials': 'user:hush-hush\nX-Header: y\n' }, /must hold one line/],
  ['authorities of the proxy that are not there', { 'agent.yaml': `${minimal}proxy: { url: "https://localhost:1", caFile: none.crt }\n` }, /^sluice agent: proxy\.caFile: ENOENT.*none\.crt/],
]

void test('files that the configuration names are looked at before anything starts', async (t) => {
  for (const [what, files, expected] of refused) {
    const folder = t.testdir(files)
    const agent = sluice(t, ['agent', '--config', join(folder, 'agent.yaml')])
    t.equal(await agent.exitCode, 2, what)
    t.match(agent.output(), expected, what)
    t.notMatch(agent.output(), /hush-hush/, what)
  }
})

void test('a proxy that refuses is told with what to do, without the credentials', async (t) => {
  const proxy = await startProxy(t, { credentials: 'user:right' })
  const folder = t.testdir({ 'agent.yaml': withProxy.replace('localhost:1"', `localhost:${proxy.port}"`), 'proxy-credentials': 'user:hush-hush\r\n' })
  const agent = sluice(t, ['agent', '--config', join(folder, 'agent.yaml')], { SLUICE_LOG_LEVEL: 'trace' })
  await until(() => agent.output().includes('no session'))
  t.match(agent.output(), /the proxy localhost:\d+ answers 407: it refuses the credentials of proxy\.credentialsFile/)
  t.notMatch(agent.output(), /hush-hush/)
  t.notOk(agent.output().includes(Buffer.from('user:hush-hush').toString('base64')))
  agent.child.kill('SIGTERM')
  t.equal(await agent.exitCode, 0)
})
