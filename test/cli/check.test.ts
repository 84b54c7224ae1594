import { join } from 'node:path'
import { test } from 'tap'
import { check } from '../../src/cli/check.ts'
import { fileWith, run } from '../support/command.ts'

const config = `listeners:
  - { address: 127.0.0.1:6443 }
  - { address: 127.0.0.1:7443, defaultTenant: acme }
tenants:
  - name: acme
    hostnames: [acme.example.com, "*.acme.example.com"]
    apiServer: { endpoints: [10.0.0.1:6443, { address: 10.0.0.2:6443, weight: 0 }] }
    allowedSources: [192.0.2.0/24]
    sendProxyProtocol: v2
  - name: resting
    hostnames: [resting.example.com]
    apiServer: { endpoints: [{ address: 10.0.0.3:6443, weight: 0 }] }
`

void test('check counts what a right file holds', async (t) => {
  const file = fileWith(t, config)
  t.same(await run(check, file), { code: 0, stdout: `${file}: right; 2 listeners, 2 tenants, 3 hostnames\n`, stderr: '' })
})

void test('check prints six mistakes with their lines', async (t) => {
  const file = fileWith(t, `listeners:
  - address: 0.0.0.0:99999
pools: { admin: { addresses: [10.1.0.11] } }
defaults:
  timeouts: { helo: 5s }
  scheduler: least
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
`)
  t.same(await run(check, file), {
    code: 2,
    stdout: '',
    stderr: `sluice.yaml:2:14: listeners[0].address: "0.0.0.0:99999"; expected an IP address and a port: 0.0.0.0:6443 or [::]:6443
sluice.yaml:5:15: defaults.timeouts.helo: unknown key; did you mean hello?
sluice.yaml:6:14: defaults.scheduler: "least"; expected rr (in turn), wrr (in turn, by weight), lc (fewest connections), wlc (fewest connections for its weight), sh (by the client’s address and by weight), mh (the same, and few clients move when endpoints change: Maglev)
sluice.yaml:10:31: tenants[0].apiServer.nodPort: unknown key; did you mean nodePort?
sluice.yaml:13:24: tenants[1].apiServer.pool: there is no pool "amdin"; did you mean admin?
sluice.yaml:15:17: tenants[2].hostnames[0]: hostname globex.example.com is claimed by tenants[1].hostnames[0] (line 12) already; expected each hostname once
6 errors
`,
  })
})

void test('check says what it needs', async (t) => {
  t.match(await run(check), { code: 2, stderr: /one FILE is needed/ })
  t.match(await run(check, join(t.testdir(), 'none.yaml')), { code: 2, stderr: /none\.yaml: can't be read: ENOENT/ })
})
