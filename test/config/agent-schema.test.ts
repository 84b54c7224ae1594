import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { test, type Test } from 'tap'
import { loadAgentConfig, type AgentConfig } from '../../src/config/agent-schema.ts'
import { formatProblems, type ConfigError } from '../../src/config/config-error.ts'
import { canonicalAddress } from '../../src/core/net/ip-address.ts'
import { announcementLimits } from '../../src/core/tunnel/announcement.ts'

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

void test('what the API server may reach: the kubelet on the node’s own addresses, unless the file says otherwise', (t) => {
  t.same(load(t, minimal).reverse, { allow: [{ kind: 'node', ports: [{ from: 10_250, to: 10_250 }] }], announce: [], dialTimeoutMs: 5_000 })
  t.same(load(t, `${minimal}reverse: { allow: [] }\n`).reverse.allow, [])
  t.same(load(t, `${minimal}reverse:
  allow:
    - { node: true, ports: [10250, 8000-8100] }
    - { cidr: "2001:DB8:1::/48", ports: [443] }
    - { cidr: 169.254.20.10, ports: [53] }
    - { host: "*.Corp.example", ports: [8443] }
  announce: ["2001:db8:1:7::/64"]
  dialTimeout: 250ms
`).reverse, {
    allow: [
      { kind: 'node', ports: [{ from: 10_250, to: 10_250 }, { from: 8_000, to: 8_100 }] },
      { kind: 'cidr', cidr: '2001:db8:1::/48', ports: [{ from: 443, to: 443 }] },
      { kind: 'cidr', cidr: '169.254.20.10/32', ports: [{ from: 53, to: 53 }] },
      { kind: 'host', host: '*.corp.example', ports: [{ from: 8_443, to: 8_443 }] },
    ],
    announce: ['2001:db8:1:7::/64'],
    dialTimeoutMs: 250,
  })
  t.end()
})

void test('the node’s own addresses are those that the file has, none where it has none', (t) => {
  t.same(load(t, `${minimal}node: { addresses: [192.0.2.11, "2001:DB8:0::11"] }\n`).addresses, ['192.0.2.11', '2001:db8::11'])
  t.same(load(t, `${minimal}node: { addresses: [] }\n`).addresses, [])
  t.ok(load(t, minimal).addresses.every((address) => canonicalAddress(address) === address), 'those of the machine')
  t.end()
})

void test('as many names as a gateway takes, one of them for several ports', (t) => {
  const names = Array.from({ length: announcementLimits.namesMax }, (_, index) => `{ host: n${index}.corp, ports: [443] }`)
  t.equal(load(t, `${minimal}reverse: { allow: [${[...names, '{ host: n0.corp, ports: [80] }'].join()}] }\n`).reverse.allow.length, announcementLimits.namesMax + 1)
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
  'an entry that allows nothing': [`${minimal}reverse: { allow: [{ ports: [443] }] }\n`, /3:20: reverse\.allow\[0\]: there must be one of node, cidr and host; expected one of \{ node: true \}, \{ cidr \} and \{ host \}, with ports/],
  'an entry of two kinds': [`${minimal}reverse: { allow: [{ node: true, cidr: 10.0.0.0/8, ports: [443] }] }\n`, /3:20: reverse\.allow\[0\]: there must be one of node, cidr and host/],
  'a misspelt key of an entry, which says what seems to be missing': [`${minimal}reverse: { allow: [{ cdir: 10.0.0.0/8, ports: [443] }] }\n`, /^agent\.yaml:3:22: reverse\.allow\[0\]\.cdir: unknown key; expected one of node, cidr, host, ports\n1 error/],
  'the node, not allowed': [`${minimal}reverse: { allow: [{ node: false, ports: [443] }] }\n`, /3:28: reverse\.allow\[0\]\.node: false; expected true: the node’s own addresses/],
  'an entry without ports': [`${minimal}reverse: { allow: [{ node: true }] }\n`, /3:20: reverse\.allow\[0\]\.ports: missing; expected ports, 10250, and ranges of them, 8000-8100/],
  'no ports': [`${minimal}reverse: { allow: [{ node: true, ports: [] }] }\n`, /3:41: reverse\.allow\[0\]\.ports: an empty list; expected ports/],
  'a port that is none': [`${minimal}reverse: { allow: [{ node: true, ports: [0] }] }\n`, /3:42: reverse\.allow\[0\]\.ports\[0\]: 0; expected a port, 1 to 65535, or a range of ports, 8000-8100/],
  'a range the wrong way round': [`${minimal}reverse: { allow: [{ node: true, ports: [8100-8000] }] }\n`, /3:42: reverse\.allow\[0\]\.ports\[0\]: "8100-8000"; expected a port, 1 to 65535, or a range/],
  'a range beyond the last port': [`${minimal}reverse: { allow: [{ node: true, ports: [1-65536] }] }\n`, /ports\[0\]: "1-65536"; expected a port/],
  'a network with host bits': [`${minimal}reverse: { allow: [{ cidr: 10.0.0.1/8, ports: [443] }] }\n`, /3:28: reverse\.allow\[0\]\.cidr: "10\.0\.0\.1\/8": bits behind the prefix are set; the network is 10\.0\.0\.0\/8/],
  'an address as a host name': [`${minimal}reverse: { allow: [{ host: 10.0.0.1, ports: [443] }] }\n`, /3:28: reverse\.allow\[0\]\.host: "10\.0\.0\.1"; expected a host name, or \*\.SUFFIX/],
  'every name': [`${minimal}reverse: { allow: [{ host: "*", ports: [443] }] }\n`, /reverse\.allow\[0\]\.host: "\*"; expected a host name/],
  'more names than a gateway takes': [`${minimal}reverse: { allow: [${Array.from({ length: announcementLimits.namesMax + 1 }, (_, index) => `{ host: n${index}.corp, ports: [443] }`).join()}] }\n`, /3:19: reverse\.allow: 65 host names, which are announced; expected at most 64 of them/],
  'an announcement of what is nowhere allowed': [`${minimal}reverse: { allow: [{ cidr: 10.96.0.0/12, ports: [443] }], announce: [10.96.0.0/16, 10.244.3.0/24] }\n`, /3:84: reverse\.announce\[1\]: 10\.244\.3\.0\/24 is announced, and nothing in it is allowed; expected a network that reverse\.allow has an entry for/],
  'a name announced as a network': [`${minimal}reverse: { announce: [pods] }\n`, /3:23: reverse\.announce\[0\]: "pods": "pods" is no IP address; expected a network in CIDR notation/],
  'a dial that may outlast the gateway’s patience': [`${minimal}reverse: { dialTimeout: 8s }\n`, /3:25: reverse\.dialTimeout: "8s"; expected a duration \(250ms, 5s\) from 100ms to 7s: for what is dialled to answer/],
  'a dial without time': [`${minimal}reverse: { dialTimeout: 50ms }\n`, /reverse\.dialTimeout: "50ms"; expected a duration/],
  'a misspelt key of the way back': [`${minimal}reverse: { alow: [] }\n`, /3:12: reverse\.alow: unknown key; did you mean allow\?/],
  'a name as the node’s address': [`${minimal}node: { addresses: [worker-1] }\n`, /3:21: node\.addresses\[0\]: "worker-1"; expected an IP address/],
  'a network as the node’s address': [`${minimal}node: { addresses: [192.0.2.0/24] }\n`, /3:21: node\.addresses\[0\]: "192\.0\.2\.0\/24"; expected an IP address/],
  'more addresses than a gateway takes': [`${minimal}node: { addresses: [${Array.from({ length: announcementLimits.addressesMax + 1 }, (_, index) => `192.0.2.${index}`).join()}] }\n`, /3:20: node\.addresses: a list of 65; expected the node’s own addresses/],
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
