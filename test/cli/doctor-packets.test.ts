// A path that loses packets of full size, as behind an overlay with a smaller MTU where ICMP is filtered: three network namespaces.
//
//   [node] n0 1500 ══ 1000 r0 [router] r1 1500 ══ 1500 g0 [gateway]      r0 takes no packet over 1000 bytes, and says nothing

import { execFileSync, spawn } from 'node:child_process'
import { mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test, type Test } from 'tap'
import { createCa } from '../../src/cli/demo/certificates.ts'
import { cannotMakeHosts } from '../compliance/vanished-host.ts'
import { mainFile, started, type Process } from '../support/sluice-process.ts'
import { until } from '../support/sockets.ts'

const skip = cannotMakeHosts() ?? false
const [node, router, gateway] = ['node', 'router', 'gateway'].map((name) => `sluice${process.pid}-${name}`) as [string, string, string]

function ip(...args: string[]): void {
  execFileSync('ip', args, { stdio: ['ignore', 'ignore', 'inherit'] })
}

function sluiceIn(t: Test, namespace: string, args: readonly string[]): Process {
  return started(t, spawn('ip', ['netns', 'exec', namespace, process.execPath, mainFile, ...args], { env: { PATH: process.env['PATH'] ?? '' }, stdio: ['ignore', 'pipe', 'pipe'] }))
}

function network(t: Test, { routerMtu }: { readonly routerMtu: number }): void {
  for (const name of [node, router, gateway]) {
    ip('netns', 'add', name)
    t.teardown(() => ip('netns', 'delete', name))
    ip('-n', name, 'link', 'set', 'lo', 'up')
  }
  ip('-n', node, 'link', 'add', 'n0', 'type', 'veth', 'peer', 'name', 'r0', 'netns', router)
  ip('-n', gateway, 'link', 'add', 'g0', 'type', 'veth', 'peer', 'name', 'r1', 'netns', router)
  for (const [name, device, address] of [[node, 'n0', '192.0.2.1/30'], [router, 'r0', '192.0.2.2/30'], [router, 'r1', '192.0.2.5/30'], [gateway, 'g0', '192.0.2.6/30']] as const) {
    ip('-n', name, 'address', 'add', address, 'dev', device)
    // One packet is one packet: what is cut late would pass whole.
    ip('-n', name, 'link', 'set', device, 'up', 'gso_max_segs', '1')
  }
  ip('-n', router, 'link', 'set', 'r0', 'mtu', String(routerMtu))
  ip('-n', node, 'route', 'add', 'default', 'via', '192.0.2.2')
  ip('-n', gateway, 'route', 'add', 'default', 'via', '192.0.2.5')
  ip('netns', 'exec', router, 'sysctl', '-qw', 'net.ipv4.ip_forward=1')
  // ip-netns(8) lays it over /etc/hosts.
  mkdirSync(`/etc/netns/${node}`, { recursive: true })
  t.teardown(() => rmSync(`/etc/netns/${node}`, { recursive: true }))
  writeFileSync(`/etc/netns/${node}/hosts`, '192.0.2.6 tunnel.example.test\n')
}

for (const [routerMtu, expected] of [[1_500, /^ok +packets/m], [1_000, /^FAILED +packets +small packets pass, and a TLS hello of two packets gets no answer\n +▶ packets of full size are lost on the way/m]] as const) {
  void test(`a path with an MTU of ${routerMtu}`, { skip }, async (t) => {
    const ca = createCa('tunnel CA')
    const { certificatePem, keyPem } = ca.issue({ commonName: 'tunnel', dnsNames: ['tunnel.example.test'], usages: ['server'] })
    const folder = t.testdir({
      'tunnel.crt': certificatePem, 'tunnel.key': keyPem, 'ca.crt': ca.certificatePem,
      'sluice.yaml': 'listeners: [{ address: 0.0.0.0:6443 }]\nrelay: { driver: node }\ntunnel: { hostnames: [tunnel.example.test], certificate: { certFile: tunnel.crt, keyFile: tunnel.key } }\nstate: { directory: state }\nadmin: { address: 127.0.0.1:0 }\n',
      'agent.yaml': 'gateways: [wss://tunnel.example.test:6443]\ncaFile: ca.crt\nstate: { directory: agent }\nforward: [{ listen: 127.0.0.1:0 }]\n',
    })
    network(t, { routerMtu })
    const edge = sluiceIn(t, gateway, ['gateway', '--config', join(folder, 'sluice.yaml')])
    await until(() => edge.output().includes('"ready"'))
    const doctor = sluiceIn(t, node, ['doctor', '--config', join(folder, 'agent.yaml')])
    t.equal(await doctor.exitCode, 1, 'there is no token')
    t.match(doctor.output(), /^ok +tcp/m)
    t.match(doctor.output(), expected)
  })
}
