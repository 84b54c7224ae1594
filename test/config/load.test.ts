// What a configuration may say, and every way in which it can be wrong.

import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import fc from 'fast-check'
import { test } from 'tap'
import type { Config } from '../../src/config/config.ts'
import { ConfigError, formatProblems } from '../../src/config/config-error.ts'
import { jsonSchemaText } from '../../src/config/json-schema.ts'
import { loadConfig, parseConfig } from '../../src/config/load.ts'
import { schedulerKinds } from '../../src/core/balance/scheduler.ts'

const minimal = 'listeners: [{ address: 127.0.0.1:6443 }]\n'

function parse(text: string, env: Record<string, string> = {}): Config {
  return parseConfig({ file: '/etc/sluice/sluice.yaml', text, env })
}

/** The errors as they are printed. */
function errorsOf(text: string, env: Record<string, string> = {}): string[] {
  try {
    parse(text, env)
  } catch (error) {
    if (error instanceof ConfigError) return formatProblems(error).trimEnd().split('\n')
    throw error
  }
  return []
}

function tenantWith(rest: string): string {
  return `${minimal}pools: { admin: { addresses: [10.1.0.11] } }\ntenants:\n  - name: acme\n    hostnames: [acme.example.com]\n${rest}`
}

void test('a minimal file has every default', async (t) => {
  t.same(parse(minimal), {
    listeners: [{ name: '127.0.0.1:6443', address: { address: '127.0.0.1', port: 6443 } }],
    relay: { driver: 'auto', workers: 'auto', warmUpMs: 700, kernelLane: 'off', busyPollUs: 0 },
    state: { kind: 'file', directory: '/var/lib/sluice' },
    timeouts: { helloMs: 5_000, drainGraceMs: 5_000 },
    limits: {},
    tenants: [],
    egress: [],
    admin: { address: { address: '127.0.0.1', port: 9443 } },
  })
})

void test('a tenant takes the defaults and overrides them', async (t) => {
  const text = `${minimal}
pools: { admin: { addresses: [10.1.0.11, 10.1.0.12] } }
defaults: { timeouts: { connect: 1s, answer: 9s, idle: 2h }, retries: { attempts: 5, budgetPercent: 30 } }
tenants:
  - name: acme
    hostnames: [ACME.example.com., "*.acme.example.com"]
    apiServer: { pool: admin, nodePort: 31443 }
  - name: globex
    hostnames: [globex.example.com]
    apiServer: { endpoints: [{ address: 10.2.0.5:6443, weight: 0 }, "[2001:DB8::6]:6443", api.example.com:6443] }
    timeouts: { connect: 250ms, answer: 1s, halfClosed: 1m, drain: 0s }
    retries: { attempts: 1, budgetPercent: 1500 }
    allowedSources: [10.0.0.0/8, "2001:DB8:0::/32", 192.0.2.1]
    sendProxyProtocol: v2
`
  const [acme, globex] = parse(text).tenants
  t.match(acme, {
    name: 'acme', hostnames: ['acme.example.com', '*.acme.example.com'], scheduler: 'wlc',
    endpoints: [{ name: '10.1.0.11:31443', address: '10.1.0.11', port: 31443, weight: 1 }, { name: '10.1.0.12:31443' }],
    connectTimeoutMs: 1_000, answerTimeoutMs: 9_000, idleTimeoutMs: 7_200_000, halfClosedTimeoutMs: 300_000, drainTimeoutMs: 600_000, attemptsMax: 5, retryBudget: { percent: 30, reserve: 500, floorPerSecond: 1 },
  })
  t.notOk(acme !== undefined && 'allowedSources' in acme)
  t.match(globex, {
    endpoints: [{ name: '10.2.0.5:6443', weight: 0 }, { name: '[2001:db8::6]:6443', address: '2001:db8::6' }, { name: 'api.example.com:6443' }],
    connectTimeoutMs: 250, answerTimeoutMs: 1_000, idleTimeoutMs: 7_200_000, halfClosedTimeoutMs: 60_000, drainTimeoutMs: 0, attemptsMax: 1, retryBudget: { percent: 1_500 },
    allowedSources: ['10.0.0.0/8', '2001:db8::/32', '192.0.2.1/32'], sendProxyProtocol: { version: 'v2', tlvs: [] },
  })
})

void test('endpoints are checked as the defaults say, or the tenant, key by key; none are none, and names are of TLS', async (t) => {
  const text = `${minimal}
pools: { admin: { addresses: [10.1.0.11] } }
defaults: { health: { interval: 5s, serverName: kubernetes.default.svc } }
tenants:
  - { name: acme, hostnames: [acme.example.com], apiServer: { pool: admin, nodePort: 31443 } }
  - { name: globex, hostnames: [globex.example.com], apiServer: { pool: admin, nodePort: 31443 }, health: { kind: readyz, fall: 1, caFile: globex-ca.crt } }
  - { name: initech, hostnames: [initech.example.com], apiServer: { pool: admin, nodePort: 31443 }, health: { kind: none } }
  - { name: hooli, hostnames: [hooli.example.com], apiServer: { pool: admin, nodePort: 31443 }, sendProxyProtocol: v1 }
`
  const tcp = { kind: 'tcp', intervalMs: 5_000, timeoutMs: 3_000, fall: 3, rise: 2, slowStartMs: 30_000 }
  t.same(parse(text).tenants.map(({ health }) => health), [tcp, { ...tcp, kind: 'readyz', fall: 1, serverName: 'kubernetes.default.svc', caFile: 'globex-ca.crt' }, undefined, { ...tcp, sendsProxyHeader: 'v1' }])
  for (const [wrong, path] of [['kind: http', 'kind'], ['interval: 10ms', 'interval'], ['timeout: 2m', 'timeout'], ['fall: 0', 'fall'], ['rise: 1.5', 'rise'], ['serverName: "*.example.com"', 'serverName'], ['path: /healthz', 'path']] as const) {
    t.match(errorsOf(`${minimal}defaults: { health: { ${wrong} } }\n`).join('\n'), new RegExp(`health\\.?.*${path}`), wrong)
  }
})

void test('a scheduler is one of IPVS’s, a tenant’s own in place of that of the defaults; weights go from 0 to 65,535', async (t) => {
  for (const kind of schedulerKinds) {
    const text = `${minimal}defaults: { scheduler: ${kind} }
tenants:
  - { name: acme, hostnames: [a.example.com], apiServer: { endpoints: [{ address: 10.0.0.1:1, weight: 65535 }, { address: 10.0.0.2:1, weight: 0 }] } }
  - { name: globex, hostnames: [b.example.com], apiServer: { endpoints: [10.0.0.1:1] }, scheduler: sh }
`
    t.match(parse(text).tenants, [{ scheduler: kind, endpoints: [{ weight: 65_535 }, { weight: 0 }] }, { scheduler: 'sh', endpoints: [{ weight: 1 }] }])
  }
})

const tunnel = 'tunnel: { hostnames: [tunnel.example.com], certificate: { certFile: tunnel.crt, keyFile: tunnel.key } }\n'
const acme = 'tenants: [{ name: acme, hostnames: [acme.example.com], apiServer: { endpoints: [10.0.0.1:6443] } }]\n'

function egressWith(...entries: readonly string[]): string {
  return `${minimal}${tunnel}${acme}egress:\n${entries.map((entry) => `  - ${entry}\n`).join('')}`
}

void test('the admin server needs a token for the network, and TLS for the token, but nothing on loopback', (t) => {
  const admin = (text: string): unknown => parse(`${minimal}admin: ${text}\n`).admin
  t.same(admin('{ socket: /run/sluice/admin.sock }'), { address: { address: '127.0.0.1', port: 9_443 }, socket: '/run/sluice/admin.sock' })
  t.same(admin('{ address: "[::1]:1", tokenFile: token }'), { address: { address: '::1', port: 1 }, tokenFile: 'token' })
  t.same(admin('{ address: 0.0.0.0:9443 }'), { address: { address: '0.0.0.0', port: 9_443 } }, 'health and metrics need neither')
  t.same(admin('{ address: 0.0.0.0:9443, certificate: { certFile: a, keyFile: b }, tokenFile: token }'), { address: { address: '0.0.0.0', port: 9_443 }, certificate: { certFile: 'a', keyFile: 'b' }, tokenFile: 'token' })
  t.end()
})

void test('an egress is a socket of a tenant’s, or an address for all who have a certificate', async (t) => {
  const [longName, longFolder] = [`/${'s'.repeat(106)}`, `/${'d'.repeat(95)}/${'s'.repeat(10)}`]
  t.same(parse(egressWith('{ tenant: acme, socket: run/acme.sock }', `{ tenant: acme, socket: ${longName} }`, `{ tenant: acme, socket: ${longFolder} }`, '{ address: "[::]:8132", certificate: { certFile: a, keyFile: b }, clientCaFile: c }')).egress, [
    { kind: 'socket', tenant: 'acme', path: 'run/acme.sock' },
    { kind: 'socket', tenant: 'acme', path: longName },
    { kind: 'socket', tenant: 'acme', path: longFolder },
    { kind: 'tls', address: { address: '::', port: 8_132 }, certificate: { certFile: 'a', keyFile: 'b' }, clientCaFile: 'c' },
  ])
  t.equal(parse(`${minimal}${tunnel.replace('{ ', '{ peerAddress: "[2001:DB8::1]:6443", ')}`).tunnel?.peerAddress?.address, '2001:db8::1')
  t.notOk('peerAddress' in (parse(minimal + tunnel).tunnel ?? {}))
})

void test('when endpoints are ejected: as the defaults say, or the tenant, key by key; after no failures is never', async (t) => {
  const text = `${minimal}
pools: { admin: { addresses: [10.1.0.11] } }
defaults: { ejection: { time: 1m } }
tenants:
  - { name: acme, hostnames: [acme.example.com], apiServer: { pool: admin, nodePort: 31443 } }
  - { name: globex, hostnames: [globex.example.com], apiServer: { pool: admin, nodePort: 31443 }, ejection: { failures: 10, sharePercent: 10 } }
  - { name: initech, hostnames: [initech.example.com], apiServer: { pool: admin, nodePort: 31443 }, ejection: { failures: 0 } }
`
  t.same(parse(text).tenants.map(({ ejection }) => ejection), [{ failures: 5, timeMs: 60_000, sharePercent: 50 }, { failures: 10, timeMs: 60_000, sharePercent: 10 }, undefined])
  for (const [wrong, path] of [['failures: -1', 'failures'], ['time: 10ms', 'time'], ['sharePercent: 0', 'sharePercent'], ['sharePercent: 101', 'sharePercent'], ['share: 5', 'share']] as const) {
    t.match(errorsOf(`${minimal}defaults: { ejection: { ${wrong} } }\n`).join('\n'), new RegExp(`ejection\\.?.*${path}`), wrong)
  }
})

void test('what agents may announce, networks and names: a tenant’s own in place of those of the defaults', async (t) => {
  const text = `${minimal}defaults: { reverse: { mayAnnounce: [10.244.0.0/16, "2001:DB8::/32"] } }\n${acme}`
  t.same(parse(text).tenants[0]?.mayAnnounce, ['10.244.0.0/16', '2001:db8::/32'])
  t.same(parse(text.replace('hostnames', 'reverse: { mayAnnounce: [192.0.2.11] }, hostnames')).tenants[0]?.mayAnnounce, ['192.0.2.11/32'])
  t.same(parse(text.replace('hostnames', 'reverse: { mayAnnounce: ["*", Worker-1, "*.Nodes.example"] }, hostnames')).tenants[0]?.mayAnnounce, ['*', 'worker-1', '*.nodes.example'])
  t.same(parse(text.replace('hostnames', 'reverse: { mayAnnounce: [] }, hostnames')).tenants[0]?.mayAnnounce, [], 'nothing')
  t.notOk('mayAnnounce' in (parse(minimal + acme).tenants[0] ?? {}))
})

void test('limits: of the process in defaults only; a tenant’s own in place of those of the defaults, a rate with its burst; a listener’s', async (t) => {
  const text = `listeners: [{ address: 127.0.0.1:6443, limits: { connections: 9, connectionsPerSource: 8, connectionsPerSecond: 7, connectionsPerSourcePerSecond: 6, connectionsPerSourceBurst: 12, connectionsPerSourceExcess: reset } }]
defaults: { limits: { connections: 100, connectionsPerSecond: 10, connectionsBurst: 50, processConnections: 4000, processConnectionsPerSecond: 500, helloConnections: 300 } }
tenants:
  - { name: acme, hostnames: [a.example.com], apiServer: { endpoints: [10.0.0.1:6443] } }
  - { name: globex, hostnames: [b.example.com], apiServer: { endpoints: [10.0.0.1:6443] }, limits: { connections: 1000000, connectionsPerSecond: 20, connectionsPerSource: 5 } }
  - { name: initech, hostnames: [c.example.com], apiServer: { endpoints: [10.0.0.1:6443] }, limits: { connections: none, connectionsPerSecond: none, connectionsPerSource: none } }
`
  const { listeners, limits, tenants } = parse(text)
  t.same(listeners[0]?.limits, { connectionsMax: 9, connectionsPerSourceMax: 8, rate: { perSecond: 7, burst: 7 }, sourceRate: { perSecond: 6, burst: 12 }, sourceExcess: 'reset' })
  t.same(limits, { connectionsMax: 4_000, helloConnectionsMax: 300, rate: { perSecond: 500, burst: 500 } })
  t.same(tenants.map((tenant) => tenant.limits), [
    { connectionsMax: 100, rate: { perSecond: 10, burst: 50 } },
    { connectionsMax: 1_000_000, connectionsPerSourceMax: 5, rate: { perSecond: 20, burst: 20 } },
    undefined,
  ])
  t.notOk('limits' in (parse(minimal + acme).tenants[0] ?? {}), 'none')
  t.same(parse(minimal, { SLUICE_DEFAULTS_LIMITS_PROCESS_CONNECTIONS: '7' }).limits, { connectionsMax: 7 })
})

/** Each mistake on its own: the file, and the one error that it gives. */
const mistakes: readonly (readonly [name: string, text: string, error: RegExp])[] = [
  ['an empty file', '', /^sluice\.yaml:1:1: the file is empty/],
  ['no listeners', 'tenants: []\n', /1:1: listeners: missing; expected at least one listener/],
  ['an empty list of listeners', 'listeners: []\n', /1:12: listeners: an empty list; expected at least one listener/],
  ['a misspelt key at the top', `${minimal}tenant: []\n`, /2:1: tenant: unknown key; did you mean tenants\?/],
  ['a key that is not built yet', `${minimal}health: {}\n`, /2:1: health: unknown key; expected one of listeners, relay, pools/],
  ['a wildcard for the tunnel', `${minimal}tunnel: { hostnames: ["*.example.com"], certificate: { certFile: a, keyFile: b } }\n`, /2:23: tunnel\.hostnames\[0\]: "\*\.example\.com"; expected a hostname, no wildcard/],
  ['a tunnel hostname that a tenant has', `${minimal}tunnel: { hostnames: [Acme.example.com], certificate: { certFile: a, keyFile: b } }\ntenants: [{ name: acme, hostnames: [acme.example.com], apiServer: { endpoints: [10.0.0.1:6443] } }]\n`, /3:37: tenants\[0\]\.hostnames\[0\]: hostname acme\.example\.com is claimed by tunnel\.hostnames\[0\] \(line 2\) already/],
  ['a setting that is not built yet', `${minimal}relay: { napi: 50us }\n`, /2:10: relay\.napi: unknown key/],
  ['polling for longer than is worth it', `${minimal}relay: { busyPoll: 2ms }\n`, /2:20: relay\.busyPoll: "2ms"; expected a duration \(0s, 50us, 1ms\) from 0s to 1ms/],
  ['polling for a number without a unit', `${minimal}relay: { busyPoll: "50" }\n`, /2:20: relay\.busyPoll: "50"; expected a duration/],
  ['a driver that there is not', `${minimal}relay: { driver: bsd }\n`, /2:18: relay\.driver: "bsd"; expected auto \(.*\), linux \(.*\) or node \(.*\)/],
  ['no workers', `${minimal}relay: { workers: 0 }\n`, /2:19: relay\.workers: 0; expected auto \(one for each core\) or a whole number from 1 to 256/],
  ['a scheduler that there is not', `${minimal}defaults: { scheduler: sed }\n`, /defaults\.scheduler: "sed"; expected rr \(in turn\), wrr \(.*\), lc \(.*\), wlc \(.*\), sh \(.*\), mh \(.*\)/],
  ['a listener without a port', 'listeners: [{ address: 0.0.0.0 }]\n', /1:24: listeners\[0\]\.address: "0\.0\.0\.0"; expected an IP address and a port/],
  ['an IPv6 listener without brackets', 'listeners: [{ address: "::1:6443" }]\n', /listeners\[0\]\.address/],
  ['a listener on a hostname', 'listeners: [{ address: localhost:6443 }]\n', /listeners\[0\]\.address/],
  ['two listeners on one address', 'listeners: [{ address: 127.0.0.1:1 }, { address: 127.0.0.1:1 }]\n', /listeners\[1\]\.address: listener address 127\.0\.0\.1:1 is claimed by listeners\[0\]\.address \(line 1\) already/],
  ['two listeners of one name, whatever port each would get', 'listeners: [{ address: 127.0.0.1:0, proxyProtocol: { trustedSources: [10.0.0.0/8] } }, { address: 127.0.0.1:0 }]\n', /listeners\[1\]\.address: listener address 127\.0\.0\.1:0 is claimed by/],
  ['an admin token that would cross the network in the clear', `${minimal}admin: { address: 0.0.0.0:9443, tokenFile: token }\n`, /2:8: admin: 0\.0\.0\.0:9443 is not on loopback, and a token without a certificate would cross the network in the clear; expected an address, with certificate and tokenFile together where it is not on loopback/],
  ['an admin certificate with nobody to use it', `${minimal}admin: { address: "[::]:9443", certificate: { certFile: a, keyFile: b } }\n`, /2:8: admin: \[::\]:9443 is not on loopback, and with a certificate but no tokenFile nobody could use the pages under \/v1; expected/],
  ['one address of a pool twice', `${minimal}pools: { admin: { addresses: [10.1.0.11, 10.1.0.11] } }\n`, /pools\.admin\.addresses\[1\]: pool address 10\.1\.0\.11 is claimed by pools\.admin\.addresses\[0\]/],
  ['a name with an empty part', tenantWith('    apiServer: { pool: admin, nodePort: 1 }\n').replace('name: acme', 'name: a..b'), /tenants\[0\]\.name: "a\.\.b"; expected a name: lower-case/],
  ['a pool of a wrong name', `${minimal}pools: { Admin: { addresses: [10.1.0.11] } }\n`, /pools\.Admin: "Admin" is no name; expected lower-case letters/],
  ['a key that would forge another line', `${minimal}"x\\n\\e[31msluice.yaml:1:1: y": 1\n`, /^sluice\.yaml:2:1: \["x\\n\\u001b\[31msluice\.yaml:1:1: y"\]: unknown key/],
  ['a value that would turn the text around', `${minimal}relay: { driver: "\\u202eedon" }\n`, /relay\.driver: "\\u\{202e\}edon"; expected auto \(/],
  ['a value without end', `${minimal}relay: { driver: ${'x'.repeat(10_000)} }\n`, /relay\.driver: "x{120}…"; expected auto \(/],
  ['a number that is none', `${minimal}defaults: { retries: { attempts: .inf } }\n`, /attempts: Infinity; expected a whole number/],
  ['an unknown tag', `${minimal}relay: { driver: !secret node }\n`, /^sluice\.yaml:2:18: Unresolved tag: !secret/],
  ['a merge key', `${minimal}relay: { <<: { driver: node } }\n`, /relay\["<<"\]: unknown key; expected one of driver/],
  ['a key of every object', `${minimal}__proto__: { tenants: [] }\n`, /__proto__: unknown key/],
  ['a defaultTenant that does not exist', tenantWith('    apiServer: { pool: admin, nodePort: 1 }\n').replace('6443 }', '6443, defaultTenant: acne }'), /defaultTenant: there is no tenant "acne"; did you mean acme\?/],
  ['no trusted sources', 'listeners: [{ address: 127.0.0.1:1, proxyProtocol: {} }]\n', /proxyProtocol\.trustedSources: missing/],
  ['a network with host bits', 'listeners: [{ address: 127.0.0.1:1, proxyProtocol: { trustedSources: [10.0.0.1/8] } }]\n', /"10\.0\.0\.1\/8": bits behind the prefix are set; the network is 10\.0\.0\.0\/8/],
  ['a duration without a unit', `${minimal}defaults: { timeouts: { connect: 3 } }\n`, /defaults\.timeouts\.connect: 3; expected a duration/],
  ['a duration out of bounds', `${minimal}defaults: { timeouts: { idle: 5s } }\n`, /defaults\.timeouts\.idle: "5s"; expected a duration .* from 1m to 24h/],
  ['a timeout of the process in a tenant', tenantWith('    apiServer: { pool: admin, nodePort: 1 }\n    timeouts: { hello: 1s }\n'), /tenants\[0\]\.timeouts\.hello: holds for the whole process, not for a tenant; expected defaults\.timeouts\.hello, a duration .* before the tenant is known/],
  ['no attempts', `${minimal}defaults: { retries: { attempts: 0 } }\n`, /defaults\.retries\.attempts: 0; expected a whole number from 1 to 16/],
  ['a tenant without hostnames', `${minimal}tenants: [{ name: a, apiServer: { endpoints: [10.0.0.1:1] } }]\n`, /tenants\[0\]\.hostnames: missing/],
  ['a wildcard in the middle', tenantWith('    apiServer: { pool: admin, nodePort: 1 }\n').replace('[acme.example.com]', '["a.*.example.com"]'), /hostnames\[0\]: "a\.\*\.example\.com": a wildcard stands only as the whole first label/],
  ['an IP address as a hostname', tenantWith('    apiServer: { pool: admin, nodePort: 1 }\n').replace('[acme.example.com]', '[10.0.0.1]'), /hostnames\[0\]: "10\.0\.0\.1": an IP address is no hostname/],
  ['one hostname twice', `${tenantWith('    apiServer: { pool: admin, nodePort: 1 }\n')}  - name: b\n    hostnames: [Acme.Example.com.]\n    apiServer: { pool: admin, nodePort: 2 }\n`, /^sluice\.yaml:8:17: tenants\[1\]\.hostnames\[0\]: hostname acme\.example\.com is claimed by tenants\[0\]\.hostnames\[0\] \(line 5\) already/],
  ['one tenant twice', `${tenantWith('    apiServer: { pool: admin, nodePort: 1 }\n')}  - name: acme\n    hostnames: [b.example.com]\n    apiServer: { pool: admin, nodePort: 2 }\n`, /tenants\[1\]\.name: tenant name acme is claimed/],
  ['a pool that does not exist', tenantWith('    apiServer: { pool: amdin, nodePort: 1 }\n'), /^sluice\.yaml:6:24: tenants\[0\]\.apiServer\.pool: there is no pool "amdin"; did you mean admin\?/],
  ['a pool without a port', tenantWith('    apiServer: { pool: admin }\n'), /apiServer: a pool without a nodePort; expected either/],
  ['a port without a pool', tenantWith('    apiServer: { nodePort: 5 }\n'), /apiServer: a nodePort without a pool/],
  ['no API server', tenantWith('    apiServer: {}\n'), /apiServer: no API server is named/],
  ['both kinds of API server', tenantWith('    apiServer: { pool: admin, nodePort: 1, endpoints: [10.0.0.1:1] }\n'), /apiServer: both endpoints and a pool or nodePort/],
  ['a port out of range', tenantWith('    apiServer: { pool: admin, nodePort: 65536 }\n'), /nodePort: 65536; expected a port, 1 to 65535/],
  ['an endpoint without a port', tenantWith('    apiServer: { endpoints: [10.0.0.1] }\n'), /endpoints\[0\]: "10\.0\.0\.1"; expected ADDRESS:PORT/],
  ['an endpoint of another kind', tenantWith('    apiServer: { endpoints: [5] }\n'), /endpoints\[0\]: 5; expected ADDRESS:PORT/],
  ['a weight above the highest', tenantWith('    apiServer: { endpoints: [{ address: 10.0.0.1:1, weight: 65536 }] }\n'), /endpoints\[0\]\.weight: 65536; expected a whole number from 0 \(quiesced: no new connections\) to 65535/],
  ['a weight that is no whole number', tenantWith('    apiServer: { endpoints: [{ address: 10.0.0.1:1, weight: 0.5 }] }\n'), /endpoints\[0\]\.weight: 0\.5; expected a whole number/],
  ['a weight below zero', tenantWith('    apiServer: { endpoints: [{ address: 10.0.0.1:1, weight: -1 }] }\n'), /endpoints\[0\]\.weight: -1; expected a whole number/],
  ['a scheduler of a tenant that there is not', tenantWith('    apiServer: { pool: admin, nodePort: 1 }\n    scheduler: RR\n'), /tenants\[0\]\.scheduler: "RR"; expected rr/],
  ['one endpoint twice', tenantWith('    apiServer: { endpoints: [10.0.0.1:1, 10.0.0.1:1] }\n'), /endpoints\[1\]: endpoint 10\.0\.0\.1:1 is claimed/],
  ['a misspelt key of an endpoint', tenantWith('    apiServer: { endpoints: [{ adress: 10.0.0.1:1, address: 10.0.0.2:1 }] }\n'), /endpoints\[0\]\.adress: unknown key; did you mean address\?/],
  ['a PROXY version that there is not', tenantWith('    apiServer: { pool: admin, nodePort: 1 }\n    sendProxyProtocol: v3\n'), /sendProxyProtocol: "v3"; expected v1, v2, or \{ version: v2, tlvs/],
  ['TLVs in version 1', tenantWith('    apiServer: { pool: admin, nodePort: 1 }\n    sendProxyProtocol: { version: v1, tlvs: [authority] }\n'), /sendProxyProtocol\.version: "v1"; expected v2: version 1 can tell nothing but addresses/],
  ['a TLV that is not sent', tenantWith('    apiServer: { pool: admin, nodePort: 1 }\n    sendProxyProtocol: { version: v2, tlvs: [alpn] }\n'), /tlvs\[0\]: "alpn"; expected one of authority, unique-id, crc32c/],
  ['a TLV twice', tenantWith('    apiServer: { pool: admin, nodePort: 1 }\n    sendProxyProtocol: { version: v2, tlvs: [crc32c, crc32c] }\n'), /tlvs: one of them twice; expected some of/],
  ['a list where an object belongs', 'listeners: [5]\n', /listeners\[0\]: 5/],
  ['text where the file belongs', 'hello\n', /^sluice\.yaml:1:1: "hello"/],
  ['an egress without a tunnel', egressWith('{ tenant: acme, socket: /run/acme.sock }').replace(tunnel, ''), /4:3: egress: an egress without a tunnel; expected tunnel, whose agents dial/],
  ['an egress of a tenant that there is not', egressWith('{ tenant: acne, socket: /run/acme.sock }'), /5:15: egress\[0\]\.tenant: there is no tenant "acne"; did you mean acme\?/],
  ['an egress of nobody', egressWith('{ socket: /run/acme.sock }'), /5:5: egress\[0\]: keys are missing; expected either \{ tenant, socket \} or \{ address, certificate, clientCaFile \}/],
  ['an egress that is nowhere', egressWith('{ tenant: acme }'), /5:5: egress\[0\]: keys are missing/],
  ['an egress of nothing', egressWith('{}'), /5:5: egress\[0\]: keys are missing/],
  ['an egress for clients of any authority', egressWith('{ address: 127.0.0.1:8132, certificate: { certFile: a, keyFile: b } }'), /5:5: egress\[0\]: keys are missing/],
  ['an egress without TLS', egressWith('{ address: 127.0.0.1:8132, clientCaFile: c }'), /5:5: egress\[0\]: keys are missing/],
  ['an egress of both kinds', egressWith('{ tenant: acme, socket: /run/acme.sock, address: 127.0.0.1:8132 }'), /5:5: egress\[0\]: keys of both kinds; expected either/],
  ['a misspelt key of an egress, which says what seems to be missing', egressWith('{ tenant: acme, scoket: /run/acme.sock }'), /5:21: egress\[0\]\.scoket: unknown key; did you mean socket\?/],
  ['an egress certificate without a key', egressWith('{ address: 127.0.0.1:8132, certificate: { certFile: a }, clientCaFile: c }'), /5:45: egress\[0\]\.certificate\.keyFile: missing; expected a file in PEM: its private key/],
  ['an egress on a hostname', egressWith('{ address: localhost:8132, certificate: { certFile: a, keyFile: b }, clientCaFile: c }'), /5:16: egress\[0\]\.address: "localhost:8132"; expected an IP address and a port/],
  ['an egress at a listener’s address', egressWith('{ address: 127.0.0.1:6443, certificate: { certFile: a, keyFile: b }, clientCaFile: c }'), /5:16: egress\[0\]\.address: listener address 127\.0\.0\.1:6443 is claimed by listeners\[0\]\.address \(line 1\) already/],
  ['one socket twice', egressWith('{ tenant: acme, socket: /run/acme.sock }', '{ tenant: acme, socket: /run/acme.sock }'), /6:29: egress\[1\]\.socket: socket \/run\/acme\.sock is claimed by egress\[0\]\.socket \(line 5\) already/],
  ['a socket without a path', egressWith('{ tenant: acme, socket: "" }'), /5:29: egress\[0\]\.socket: ""; expected the path of a Unix socket, at most 107 bytes, and its folder 97/],
  ['a folder as a socket', egressWith('{ tenant: acme, socket: /run/ }'), /5:29: egress\[0\]\.socket: "\/run\/"; expected the path/],
  ['a socket’s path with a zero byte', egressWith('{ tenant: acme, socket: "/run/a\\0b" }'), /5:29: egress\[0\]\.socket: "\/run\/a\\u0000b"; expected the path/],
  ['a socket’s path that the system has no room for', egressWith(`{ tenant: acme, socket: /${'ä'.repeat(54)} }`), /5:29: egress\[0\]\.socket: .*; expected the path of a Unix socket, at most 107 bytes/],
  ['a socket in a folder that leaves no room for its first name', egressWith(`{ tenant: acme, socket: /${'d'.repeat(96)}/s }`), /5:29: egress\[0\]\.socket: .*; expected the path/],
  ['an egress that is no list', `${minimal}${tunnel}${acme}egress: { tenant: acme, socket: /run/acme.sock }\n`, /4:9: egress: an object; expected where API servers ask for connections/],
  ['a gateway’s address without a port', `${minimal}${tunnel.replace('{ ', '{ peerAddress: gateway-1, ')}`, /2:24: tunnel\.peerAddress: "gateway-1"; expected HOST:PORT, where the other gateways of the installation reach a listener of this one/],
  ['a URL as a gateway’s address', `${minimal}${tunnel.replace('{ ', '{ peerAddress: "wss://gateway-1:6443", ')}`, /2:24: tunnel\.peerAddress: "wss:\/\/gateway-1:6443"; expected HOST:PORT/],
  ['a gateway’s port that is none', `${minimal}${tunnel.replace('{ ', '{ peerAddress: 10.0.0.1:0, ')}`, /2:24: tunnel\.peerAddress: "10\.0\.0\.1:0"; expected HOST:PORT/],
  ['a network with host bits, that agents may announce', `${minimal}defaults: { reverse: { mayAnnounce: [10.0.0.1/8] } }\n`, /2:38: defaults\.reverse\.mayAnnounce\[0\]: "10\.0\.0\.1\/8": bits behind the prefix are set; the network is 10\.0\.0\.0\/8/],
  ['a mistyped address that agents may announce', `${minimal}${acme.replace('hostnames', 'reverse: { mayAnnounce: [10.0.0.256] }, hostnames')}`, /2:50: tenants\[0\]\.reverse\.mayAnnounce\[0\]: "10\.0\.0\.256": "10\.0\.0\.256" is no IP address; expected a network in CIDR notation/],
  ['a wildcard in the middle that agents may announce', `${minimal}${acme.replace('hostnames', 'reverse: { mayAnnounce: ["worker-*"] }, hostnames')}`, /2:50: tenants\[0\]\.reverse\.mayAnnounce\[0\]: "worker-\*"; expected a network in CIDR notation, 10\.0\.0\.0\/8; or a host name, \*\.SUFFIX for every name below SUFFIX, \* for all/],
  ['announcements that are no list', `${minimal}${acme.replace('hostnames', 'reverse: { mayAnnounce: pods }, hostnames')}`, /2:49: tenants\[0\]\.reverse\.mayAnnounce: "pods"; expected the networks and names that agents may say they reach/],
  ['a misspelt key of what agents may announce', `${minimal}${acme.replace('hostnames', 'reverse: { mayAnounce: [] }, hostnames')}`, /2:36: tenants\[0\]\.reverse\.mayAnounce: unknown key; did you mean mayAnnounce\?/],
  ['a limit of nothing', `${minimal}defaults: { limits: { connections: 0 } }\n`, /2:36: defaults\.limits\.connections: 0; expected a whole number from 1 to 1000000: connections open at one time, streams/],
  ['a limit over any machine', `${minimal}defaults: { limits: { processConnections: 1000001 } }\n`, /2:43: defaults\.limits\.processConnections: 1000001; expected a whole number from 1 to 1000000: connections open at one time, in all/],
  ['no limit of all tenants, which is none to begin with', `${minimal}defaults: { limits: { connections: none } }\n`, /defaults\.limits\.connections: "none"; expected a whole number/],
  ['a limit of a tenant in other words', `${minimal}${acme.replace('hostnames', 'limits: { connections: never }, hostnames')}`, /limits\.connections: "never"; expected a whole number from 1 to 1000000: .*; or none/],
  ['a burst of no rate', `${minimal}${acme.replace('hostnames', 'limits: { connectionsPerSecond: none, connectionsBurst: 5 }, hostnames')}`, /limits\.connectionsBurst: there is no connectionsPerSecond beside it/],
  ['half a connection', `${minimal}defaults: { limits: { connectionsPerSecond: 0.5 } }\n`, /2:45: defaults\.limits\.connectionsPerSecond: 0\.5; expected a whole number/],
  ['a limit in words', `listeners: [{ address: 127.0.0.1:1, limits: { connectionsPerSource: many } }]\n`, /1:69: listeners\[0\]\.limits\.connectionsPerSource: "many"; expected a whole number/],
  ['a misspelt limit', `${minimal}defaults: { limits: { connectionPerSecond: 5 } }\n`, /2:23: defaults\.limits\.connectionPerSecond: unknown key; did you mean connectionsPerSecond\?/],
  ['limits that are a number', `${minimal}defaults: { limits: 5 }\n`, /2:21: defaults\.limits: 5; expected how many connections, and how fast/],
  ['a limit of the process in a tenant', `${minimal}${acme.replace('hostnames', 'limits: { helloConnections: 5 }, hostnames')}`, /2:35: tenants\[0\]\.limits\.helloConnections: holds for the whole process, not for a tenant; expected defaults\.limits\.helloConnections, a whole number/],
  ['a limit of a source’s rate in a tenant', `${minimal}${acme.replace('hostnames', 'limits: { connectionsPerSourcePerSecond: 5 }, hostnames')}`, /2:35: tenants\[0\]\.limits\.connectionsPerSourcePerSecond: unknown key/],
  ['a limit of the process at a listener', 'listeners: [{ address: 127.0.0.1:1, limits: { processConnections: 5 } }]\n', /1:47: listeners\[0\]\.limits\.processConnections: unknown key/],
  ['a burst without its rate', `${minimal}defaults: { limits: { connectionsBurst: 5 } }\n`, /2:41: defaults\.limits\.connectionsBurst: there is no connectionsPerSecond beside it; expected a whole number from 1 to 1000000: connections at once/],
  ['a tenant’s burst whose rate is in the defaults', `${minimal}defaults: { limits: { connectionsPerSecond: 5 } }\n${acme.replace('hostnames', 'limits: { connectionsBurst: 5 }, hostnames')}`, /3:53: tenants\[0\]\.limits\.connectionsBurst: there is no connectionsPerSecond beside it/],
  ['a source’s burst without its rate', 'listeners: [{ address: 127.0.0.1:1, limits: { connectionsPerSecond: 5, connectionsPerSourceBurst: 5 } }]\n', /1:99: listeners\[0\]\.limits\.connectionsPerSourceBurst: there is no connectionsPerSourcePerSecond beside it/],
  ['what becomes of a source’s excess without its rate', 'listeners: [{ address: 127.0.0.1:1, limits: { connectionsPerSourceExcess: reset } }]\n', /1:75: listeners\[0\]\.limits\.connectionsPerSourceExcess: there is no connectionsPerSourcePerSecond beside it; expected reset, drop or ban/],
  ['an excess that is refused in another way', 'listeners: [{ address: 127.0.0.1:1, limits: { connectionsPerSourcePerSecond: 5, connectionsPerSourceExcess: tarpit } }]\n', /limits\.connectionsPerSourceExcess: "tarpit"; expected reset, drop or ban/],
  ['dropping sources that a PROXY header tells of', 'listeners: [{ address: 127.0.0.1:1, proxyProtocol: { trustedSources: [10.0.0.0/8] }, limits: { connectionsPerSourcePerSecond: 5, connectionsPerSourceExcess: drop } }]\n', /listeners\[0\]\.limits\.connectionsPerSourceExcess: drop, with proxyProtocol: SYNs come from the balancers; expected reset, drop or ban/],
  ['a burst of more than a minute', `${minimal}defaults: { limits: { processConnectionsPerSecond: 5, processConnectionsBurst: 301 } }\n`, /2:80: defaults\.limits\.processConnectionsBurst: 301, with 5 in a second; expected a whole number .* a minute of processConnectionsPerSecond at most/],
  ['a key twice', `${minimal}relay: {}\nrelay: {}\n`, /^sluice\.yaml:3:1: Map keys must be unique/],
  ['broken YAML', 'listeners: [\n', /^sluice\.yaml:2:1: /],
]

for (const [name, text, error] of mistakes) {
  void test(`${name} is refused, with its place and what was expected`, async (t) => {
    const lines = errorsOf(text)
    t.match(lines[0], error)
    t.equal(lines.length, 2, lines.join('\n'))
    t.equal(lines[1], '1 error')
  })
}

void test('all mistakes are told at once, in the order of the file', async (t) => {
  const text = `listeners:
  - address: 0.0.0.0:99999
pools:
  admin: { addresses: [10.1.0.11] }
defaults:
  timeouts: { helo: 5s }
tenants:
  - name: acme
    hostnames: [acme.example.com]
    apiServer: { pool: admin, nodPort: 31443 }
  - name: globex
    hostnames: [globex.example.com]
    apiServer: { pool: amdin, nodePort: 31443 }
  - name: initech
    hostnames: [globex.example.com]
    apiServer: { pool: admin, nodePort: 31444 }
    allowedSources: [10.0.0.0/8]
    retries: { attempts: many }
  - name: umbrella
    hostnames: [globex.example.com]
    apiServer: { pool: admin, nodePort: 31445 }
`
  t.same(errorsOf(text).map((line) => line.split(': ').slice(0, 2).join(' ')), [
    'sluice.yaml:2:14 listeners[0].address',
    'sluice.yaml:6:15 defaults.timeouts.helo',
    'sluice.yaml:10:31 tenants[0].apiServer.nodPort',
    'sluice.yaml:13:24 tenants[1].apiServer.pool',
    'sluice.yaml:15:17 tenants[2].hostnames[0]',
    'sluice.yaml:18:26 tenants[2].retries.attempts',
    'sluice.yaml:20:17 tenants[3].hostnames[0]',
    '7 errors',
  ])
})

/** A file with one mistake within a key, and another between keys beside it: both are told. */
const together: readonly (readonly [name: string, text: string, paths: readonly string[]])[] = [
  ['an unknown pool, in a tenant with another mistake', tenantWith('    apiServer: { pool: amdin, nodePort: 1 }\n    retries: { attempts: many }\n'), ['tenants[0].apiServer.pool', 'tenants[0].retries.attempts']],
  ['an unknown pool, beside a port out of range', tenantWith('    apiServer: { pool: amdin, nodePort: 0 }\n'), ['tenants[0].apiServer.pool', 'tenants[0].apiServer.nodePort']],
  ['an unknown pool without a port', tenantWith('    apiServer: { pool: amdin }\n'), ['tenants[0].apiServer', 'tenants[0].apiServer.pool']],
  ['an unknown pool, where another pool is wrong', tenantWith('    apiServer: { pool: amdin, nodePort: 1 }\n').replace('[10.1.0.11]', '[5]'), ['pools.admin.addresses[0]', 'tenants[0].apiServer.pool']],
  ['both kinds of API server, of an unknown pool and with one endpoint twice', tenantWith('    apiServer: { pool: amdin, nodePort: 1, endpoints: [10.0.0.1:1, 10.0.0.1:1] }\n'), ['tenants[0].apiServer', 'tenants[0].apiServer.pool', 'tenants[0].apiServer.endpoints[1]']],
  ['both kinds of API server, in a tenant without hostnames', `${minimal}tenants:\n  - apiServer: { pool: 5, endpoints: [10.0.0.1:1] }\n    name: a\n`, ['tenants[0].hostnames', 'tenants[0].apiServer', 'tenants[0].apiServer.pool']],
  ['one endpoint twice, with a wrong weight', tenantWith('    apiServer: { endpoints: [10.0.0.1:1, { address: 10.0.0.1:1, weight: -2 }] }\n'), ['tenants[0].apiServer.endpoints[1]', 'tenants[0].apiServer.endpoints[1].weight']],
  ['one endpoint twice, beside one that is wrong', tenantWith('    apiServer: { endpoints: [5, 10.0.0.1:1, 10.0.0.1:1] }\n'), ['tenants[0].apiServer.endpoints[0]', 'tenants[0].apiServer.endpoints[2]']],
  ['a pool without a port, in a tenant with another mistake', tenantWith('    apiServer: { pool: admin }\n    sendProxyProtocol: v3\n'), ['tenants[0].apiServer', 'tenants[0].sendProxyProtocol']],
  ['a misspelt key of an API server, which says what seems to be missing', tenantWith('    apiServer: { endpionts: [10.0.0.1:1] }\n'), ['tenants[0].apiServer.endpionts']],
  ['an API server that is none', tenantWith('    apiServer: 10.0.0.1:1\n'), ['tenants[0].apiServer']],
  ['one listener address twice, with another mistake', 'listeners: [{ address: 127.0.0.1:1 }, { address: 127.0.0.1:1, proxyProtocol: {} }]\n', ['listeners[1].address', 'listeners[1].proxyProtocol.trustedSources']],
  ['an unknown default tenant, of a listener with another mistake', 'listeners: [{ address: 127.0.0.1, defaultTenant: acne }]\n', ['listeners[0].address', 'listeners[0].defaultTenant']],
  ['an unknown default tenant, where a tenant is wrong', tenantWith('    apiServer: { pool: admin, nodePort: 0 }\n').replace('6443 }', '6443, defaultTenant: acne }'), ['listeners[0].defaultTenant', 'tenants[0].apiServer.nodePort']],
  ['a default tenant whose name is wrong', tenantWith('    apiServer: { pool: admin, nodePort: 1 }\n').replace('name: acme', 'name: Acme').replace('6443 }', '6443, defaultTenant: Acme }'), ['tenants[0].name']],
  ['a default tenant that may be the one without a name', tenantWith('    apiServer: { pool: admin, nodePort: 1 }\n').replace('name: acme', 'nme: acme').replace('6443 }', '6443, defaultTenant: acme }'), ['tenants[0].name', 'tenants[0].nme']],
  ['an unknown tenant and a socket that is taken, of an egress with another mistake', egressWith('{ tenant: acme, socket: /run/acme.sock }', '{ tenant: acne, socket: /run/acme.sock, mode: 7 }'), ['egress[1].tenant', 'egress[1].socket', 'egress[1].mode']],
  ['an egress, beside a tunnel that is wrong', egressWith('{ tenant: acme, socket: /run/acme.sock }').replace('tunnel.example.com', '5'), ['tunnel.hostnames[0]']],
  ['one address of a pool twice, where another pool is wrong', `${minimal}pools:\n  admin: { addresses: [10.1.0.11, 10.1.0.11] }\n  other: {}\n`, ['pools.admin.addresses[1]', 'pools.other.addresses']],
]

for (const [name, text, paths] of together) {
  void test(`${name}: each is told, and nothing that follows from another`, async (t) => {
    const told = errorsOf(text).slice(0, -1).map((line) => line.split(': ')[1])
    t.equal(told.length, paths.length, told.join('\n'))
    t.same(new Set(told), new Set(paths))
  })
}

void test('a pool that does not exist is told with the nearest one, also in a tenant with another mistake', async (t) => {
  const lines = errorsOf(tenantWith('    apiServer: { pool: amdin, nodePort: 1 }\n    retries: { attempts: many }\n'))
  t.match(lines[0], /^sluice\.yaml:6:24: tenants\[0\]\.apiServer\.pool: there is no pool "amdin"; did you mean admin\?/)
})

void test('of very many mistakes the first hundred are shown', async (t) => {
  const pools = Array.from({ length: 1_000 }, (_, index) => `  pool-${index}: { addresses: [10.1.0.11] }\n`).join('')
  const tenants = Array.from({ length: 5_000 }, (_, index) => `  - { name: t${index}, hostnames: [t${index}.example.com], apiServer: { pool: poool-${index}, nodePort: 1 } }\n`).join('')
  const lines = errorsOf(`${minimal}pools:\n${pools}tenants:\n${tenants}`)
  t.equal(lines.length, 102)
  t.match(lines[99], /tenants\[99\]\.apiServer\.pool: there is no pool "poool-99"; did you mean pool-99\?/)
  t.same(lines.slice(100), ['… and 4900 more', '5000 errors'])
})

void test('environment variables override single values, and are named in errors', async (t) => {
  t.match(parse(minimal, {
    SLUICE_ADMIN_ADDRESS: '127.0.0.1:1', SLUICE_DEFAULTS_TIMEOUTS_DRAIN_GRACE: '1s', SLUICE_RELAY_DRIVER: 'node',
    SLUICE_SERVICE_HOST: '10.0.0.1', SLUICE_LOG_LEVEL: 'info',
  }), { admin: { address: { port: 1 } }, timeouts: { drainGraceMs: 1_000 }, relay: { driver: 'node' } })
  const tenants = tenantWith('    apiServer: { pool: admin, nodePort: 1 }\n')
  t.match(parse(tenants, { SLUICE_DEFAULTS_RETRIES_ATTEMPTS: '7' }).tenants[0], { attemptsMax: 7 })
  t.match(errorsOf(minimal, { SLUICE_ADMIN_ADDRESS: 'x', SLUICE_DEFAULTS_RETRIES_ATTEMPTS: '0x5' }).toSorted().slice(1), [
    /^environment variable SLUICE_ADMIN_ADDRESS: admin\.address: "x"; expected an IP address/,
    /^environment variable SLUICE_DEFAULTS_RETRIES_ATTEMPTS: defaults\.retries\.attempts: /,
  ])
})

void test('a file that can not be read is one clear error', async (t) => {
  t.throws(() => loadConfig({ file: '/nonexistent/sluice.yaml', env: {} }), { code: 'CONFIG_INVALID', message: /\/nonexistent\/sluice\.yaml: can't be read: ENOENT/ })
})

void test('any text is either a configuration or an error with a place', async (t) => {
  const line = fc.oneof(fc.constantFrom('listeners: [{ address: 127.0.0.1:1 }]', 'tenants:', '  - name: a', '    hostnames: [a.b]', '    apiServer: { endpoints: [1.2.3.4:5] }', 'pools: {}', '- x', '? y', '&a *a', '!!x y', '---'), fc.string())
  fc.assert(fc.property(fc.array(line, { maxLength: 8 }), (lines) => {
    try {
      parse(lines.join('\n'))
    } catch (error) {
      if (!(error instanceof ConfigError) || error.problems.length === 0) throw error
    }
  }), { numRuns: 500 })
  t.pass()
})

void test('the JSON Schema and the example that are shipped are those of this version', async (t) => {
  const shipped = (name: string): string => fileURLToPath(new URL(`../../config/${name}`, import.meta.url))
  t.equal(readFileSync(shipped('sluice.schema.json'), 'utf8'), jsonSchemaText(), 'npm run schema')
  t.equal(loadConfig({ file: shipped('sluice.yaml'), env: {} }).tenants.length, 2)
  t.ok(loadConfig({ file: shipped('demo.yaml'), env: {} }).tenants.length > 0)
})

void test('the state is a directory, or an etcd', async (t) => {
  t.same(parse(`${minimal}state: { directory: here }`).state, { kind: 'file', directory: 'here' })
  t.same(parse(`${minimal}state: { kind: etcd, endpoints: ["https://etcd1:2379", "https://[2001:DB8::1]:2379"] }`).state, { kind: 'etcd', endpoints: ['etcd1:2379', '[2001:db8::1]:2379'], prefix: '/sluice' })
  t.same(parse(`${minimal}state: { kind: etcd, endpoints: ["https://10.0.0.1:2379"], prefix: /a/b, caFile: ca.crt, certFile: c.crt, keyFile: c.key, username: sluice, passwordFile: password }`).state, {
    kind: 'etcd', endpoints: ['10.0.0.1:2379'], prefix: '/a/b', caFile: 'ca.crt', certificate: { certFile: 'c.crt', keyFile: 'c.key' }, user: { name: 'sluice', passwordFile: 'password' },
  })
  const stored = 'listeners: [{ address: 127.0.0.1:6443, defaultTenant: elsewhere }]\nstate: { kind: etcd, endpoints: ["https://etcd1:2379"], tenants: true }'
  t.match(parse(stored), { state: { tenants: true }, listeners: [{ defaultTenant: 'elsewhere' }] }, 'who is not in the file may be in the store')
  t.match(errorsOf(stored.replace('true', 'false'))[0], /there is no tenant "elsewhere"/)
  t.same(parse(minimal, { SLUICE_STATE_DIRECTORY: '/elsewhere' }).state, { kind: 'file', directory: '/elsewhere' })
  const wrong: readonly (readonly [state: string, error: RegExp])[] = [
    ['{ kind: zookeeper }', /^\S+:2:16: state\.kind: "zookeeper"; expected file \(a directory.* or etcd/],
    ['{ kind: etcd }', /^\S+:2:8: state: kind: etcd without endpoints; expected where .*\{ kind: etcd, endpoints, prefix/],
    ['{ kind: etcd, endpoints: [] }', /state\.endpoints: an empty list; expected of kind etcd: its members/],
    ['{ kind: etcd, endpoints: ["http://etcd1:2379"] }', /state\.endpoints\[0\]: "http:\/\/etcd1:2379": join tokens.*; expected a member of etcd: https:\/\/HOST:PORT/],
    ['{ kind: etcd, endpoints: ["etcd1:2379"] }', /state\.endpoints\[0\]: "etcd1:2379"; expected a member of etcd: https/],
    ['{ kind: etcd, endpoints: ["https://etcd1"] }', /state\.endpoints\[0\]: "https:\/\/etcd1"; expected/],
    ['{ kind: etcd, endpoints: ["https://etcd1:2379"], prefix: sluice }', /state\.prefix: "sluice"; expected of kind etcd: what its keys begin with/],
    ['{ kind: etcd, endpoints: ["https://etcd1:2379"], prefix: /sluice/ }', /state\.prefix: "\/sluice\/"; expected/],
    ['{ kind: etcd, endpoints: ["https://etcd1:2379"], directory: /var/lib/sluice }', /state\.directory: a key of kind: file, beside kind: etcd/],
    ['{ directory: here, tenants: true }', /state\.tenants: a key of kind: etcd, beside kind: file/],
    ['{ endpoints: ["https://etcd1:2379"] }', /state\.endpoints: a key of kind: etcd, beside kind: file/],
    ['{ kind: etcd, endpoints: ["https://etcd1:2379"], certFile: c.crt }', /state: certFile and keyFile need each other/],
    ['{ kind: etcd, endpoints: ["https://etcd1:2379"], username: sluice }', /state: username and passwordFile need each other/],
    ['{ kind: etcd, endpoints: ["https://etcd1:2379"], username: sluice, passwordFile: p, password: secret }', /state\.password: unknown key; did you mean passwordFile\?/],
  ]
  for (const [state, error] of wrong) {
    const errors = errorsOf(`${minimal}state: ${state}`)
    t.match(errors[0], error, state)
    t.equal(errors.length, 2, errors.join('\n'))
    t.notMatch(errors.join('\n'), /secret/)
  }
})
