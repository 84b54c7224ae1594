import { test } from 'tap'
import { explain } from '../../src/cli/explain.ts'
import { fileWith, run } from '../support/command.ts'

const config = `listeners:
  - { address: 127.0.0.1:6443 }
  - { address: 127.0.0.1:7443, defaultTenant: acme }
tenants:
  - name: acme
    hostnames: [acme.example.com, "*.acme.example.com"]
    apiServer: { endpoints: [10.0.0.1:6443, { address: 10.0.0.2:6443, weight: 0 }] }
    allowedSources: [192.0.2.0/24]
    sendProxyProtocol: { version: v2, tlvs: [authority, unique-id] }
  - name: resting
    hostnames: [resting.example.com]
    apiServer: { endpoints: [{ address: 10.0.0.3:6443, weight: 0 }] }
  - name: weighed
    hostnames: [weighed.example.com]
    apiServer: { endpoints: [{ address: 10.0.0.4:6443, weight: 300 }, 10.0.0.5:6443] }
    scheduler: wlc
  - name: unweighed
    hostnames: [unweighed.example.com]
    apiServer: { endpoints: [{ address: 10.0.0.4:6443, weight: 300 }] }
    scheduler: lc
  - name: hashed
    hostnames: [hashed.example.com]
    apiServer: { endpoints: [10.0.0.6:6443, 10.0.0.7:6443, { address: 10.0.0.8:6443, weight: 0 }] }
    scheduler: mh
`

void test('explain says what it needs', async (t) => {
  t.match(await run(explain, 'acme.example.com'), { code: 2, stderr: /--config FILE and one HOST are needed/ })
  const file = fileWith(t, config)
  t.match(await run(explain, '--config', file, '--from', 'nowhere', 'acme.example.com'), { code: 2, stderr: /"nowhere" is no IP address/ })
  t.match(await run(explain, '--config', file, '--listener', 'x', 'acme.example.com'), { code: 2, stderr: /there are 127\.0\.0\.1:6443, 127\.0\.0\.1:7443/ })
  await t.rejects(run(explain, '--confg', file), { code: 'ERR_PARSE_ARGS_UNKNOWN_OPTION' })
  t.match(await run(explain, '--config', fileWith(t, 'listeners: 5\n'), 'x'), { code: 2, stderr: /listeners: 5; expected at least one listener/ })
})

/** What is asked, and what the answer must hold. */
const explanations: readonly (readonly [args: readonly string[], code: number, lines: readonly RegExp[]])[] = [
  [['ACME.example.com.', '--from', '192.0.2.1'], 0, [/^tenant +acme$/m, /^rule +exact acme\.example\.com$/m, /^endpoints +10\.0\.0\.1:6443$/m, /^ +10\.0\.0\.2:6443 +quiesced \(weight 0\)$/m, /^health +tcp every 10s, timeout 3s, fall 3, rise 2, slowStart 30s$/m, /^ejection +for 30s after 5 failed dials in a row, of all endpoints 50 % at the most$/m, /^timeouts +connect 3s, answer 5s, idle 1h/m, /^sends +a PROXY header, v2 with authority, unique-id$/m]],
  [['a.b.acme.example.com', '--from', '192.0.2.1'], 0, [/^rule +wildcard \*\.acme\.example\.com$/m]],
  [['acme.example.com'], 0, [/^sources +only allowedSources/m]],
  [['acme.example.com', '--from', '203.0.113.1'], 1, [/^refused +source-not-allowed/m, /^why +203\.0\.113\.1 is not in allowedSources of tenant acme$/m, /^client +gets the TLS alert access_denied/m]],
  [['acne.example.com'], 1, [/^refused +unknown-server-name/m, /^nearest +acme\.example\.com$/m, /unrecognized_name/]],
  [['a b'], 1, [/^refused +invalid-server-name/m, /^why +byte 0x20 at offset 1 is not allowed/m]],
  [[''], 1, [/^refused +no-server-name/m]],
  [['10.0.0.1'], 1, [/^refused +no-server-name/m, /IP literal/]],
  [['', '--listener', '127.0.0.1:7443', '--from', '192.0.2.1'], 0, [/^rule +defaultTenant of the listener/m]],
  [['weighed.example.com'], 0, [/^endpoints +10\.0\.0\.4:6443 +weight 300$/m, /^ +10\.0\.0\.5:6443$/m, /^scheduler +wlc: fewest connections for its weight$/m]],
  [['unweighed.example.com'], 0, [/weight 300, which lc does not ask for$/m]],
  [['hashed.example.com'], 0, [/^picks +--from IP tells which endpoint a client gets$/m]],
  [['hashed.example.com', '--from', '203.0.113.1'], 0, [/^picks +10\.0\.0\.[67]:6443, unless that has more than its share of connections$/m]],
  [['resting.example.com'], 1, [/^tenant +resting$/m, /^refused +no-endpoint/m, /internal_error/]],
]

for (const [args, code, lines] of explanations) {
  void test(`explain ${args.join(' ') || "''"} tells the route or what refuses it`, async (t) => {
    const outcome = await run(explain, '--config', fileWith(t, config), ...args)
    t.equal(outcome.code, code, outcome.stderr)
    for (const line of lines) t.match(outcome.stdout, line)
  })
}
