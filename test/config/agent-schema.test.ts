import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { test, type Test } from 'tap'
import { loadAgentConfig, type AgentConfig } from '../../src/config/agent-schema.ts'
import { formatProblems, type ConfigError } from '../../src/config/config-error.ts'

function load(t: Test, text: string, env: Readonly<Record<string, string>> = {}): AgentConfig {
  return loadAgentConfig({ file: join(t.testdir({ 'agent.yaml': text }), 'agent.yaml'), env })
}

const minimal = 'gateways: [wss://tunnel.example.test:6443]\nforward: [{ listen: 127.0.0.1:6443 }]\n'

void test('a minimal file has every default, and the environment overrides single values', (t) => {
  const config = load(t, minimal, { SLUICE_NODE_NAME: 'node1' })
  t.match(config, { stateDirectory: '/var/lib/sluice-agent', node: 'node1', forward: [{ listen: { address: '127.0.0.1', port: 6443 }, addAddress: false }] })
  t.equal(config.gateways[0]?.host, 'tunnel.example.test:6443')
  t.same([config.caFile, config.tokenFile, config.proxy, config.admin], [undefined, undefined, undefined, undefined])
  t.end()
})

void test('a proxy, and the environment in its place', (t) => {
  const { proxy } = load(t, `${minimal}proxy: { url: "https://squid.example.test", credentialsFile: proxy-credentials, caFile: ca.crt }\n`)
  t.match(proxy, { credentialsFile: 'proxy-credentials', caFile: 'ca.crt' })
  t.equal(proxy?.url.href, 'https://squid.example.test/')
  t.equal(load(t, minimal, { SLUICE_PROXY_URL: 'http://[::1]:3128' }).proxy?.url.host, '[::1]:3128')
  t.equal(load(t, minimal, { HTTPS_PROXY: 'http://[::1]:3128' }).proxy, undefined)
  t.end()
})

void test('a certificate in place of a token', (t) => {
  t.match(load(t, `${minimal}certificate: { certFile: node.crt, keyFile: node.key }\n`), { certificate: { certFile: 'node.crt', keyFile: 'node.key' }, tokenFile: undefined })
  t.equal(load(t, minimal).certificate, undefined)
  t.end()
})

void test('no error repeats credentials that stand where they should not', (t) => {
  for (const text of ['http://user:hush@proxy:3128', 'http:user:hush@', '"http://user:hush@proxy:31 28"']) {
    try {
      load(t, `${minimal}proxy: { url: ${text} }\n`)
      t.fail(text)
    } catch (error) {
      t.match(formatProblems(error as ConfigError), /3:15: proxy\.url: an address with credentials in it, which belong into proxy\.credentialsFile; expected a proxy/)
      t.notMatch(formatProblems(error as ConfigError), /hush/)
    }
  }
  t.end()
})

void test('the example that is shipped is one', (t) => {
  const config = loadAgentConfig({ file: fileURLToPath(new URL('../../config/agent.yaml', import.meta.url)), env: {} })
  t.match(config, { tokenFile: 'join-token', forward: [{ listen: { address: '172.30.0.1', port: 6443 }, addAddress: true }], admin: { address: { address: '127.0.0.1', port: 9444 } } })
  t.end()
})

const mistakes: Readonly<Record<string, readonly [string, RegExp]>> = {
  'an empty file': ['', /the file is empty; expected at least gateways and forward/],
  'a gateway without TLS': [minimal.replace('wss', 'ws'), /1:12: gateways\[0\]: "ws:\/\/.*; expected a gateway: wss:\/\/HOST:PORT/],
  'a gateway with a path': [minimal.replace(':6443]', ':6443/v1]'), /gateways\[0\]/],
  'credentials in a gateway': [minimal.replace('wss://', 'wss://u:p@'), /gateways\[0\]/],
  'a misspelt key': [`${minimal}foward: []\n`, /3:1: foward: unknown key; did you mean forward\?/],
  'a name that no node can have': [`${minimal}node: { name: Node_1 }\n`, /3:15: node\.name: "Node_1"; expected a node’s name/],
  'every address to be added': [minimal.replace('127.0.0.1:6443', '"[::]:6443", addAddress: true'), /forward\[0\]\.addAddress: \[::\]:6443 stands for every address: there is none to add; expected true or false/],
  'what is neither true nor false': [minimal.replace('6443 }', '6443, addAddress: lo }'), /forward\[0\]\.addAddress: "lo"; expected true or false/],
  'a proxy that is none': [`${minimal}proxy: { url: "socks://proxy:1080" }\n`, /3:15: proxy\.url: "socks:\/\/proxy:1080"; expected a proxy: http:\/\/HOST:PORT/],
  'a proxy without an address': [`${minimal}proxy: { credentialsFile: x }\n`, /proxy\.url: missing/],
  'a certificate and a token': [`${minimal}certificate: { certFile: node.crt, keyFile: node.key }\ntoken: { file: join-token }\n`, /4:8: token: there is a certificate, which needs no token; expected needed until/],
  'a certificate without a key': [`${minimal}certificate: { certFile: node.crt }\n`, /certificate\.keyFile: missing; expected a file in PEM: its private key/],
  'no address': [minimal.replace('listen: 127.0.0.1:6443', ''), /forward\[0\]\.listen: missing/],
}

void test('mistakes are told with their place and what was expected', (t) => {
  for (const [what, [text, error]] of Object.entries(mistakes)) {
    try {
      load(t, text)
      t.fail(what)
    } catch (thrown) {
      t.match(formatProblems(thrown as ConfigError), error, what)
    }
  }
  t.end()
})
