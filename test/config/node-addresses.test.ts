import type { NetworkInterfaceInfo } from 'node:os'
import { test } from 'tap'
import { overlap, ownAddresses } from '../../src/config/node-addresses.ts'

function has(address: string, { internal = false } = {}): NetworkInterfaceInfo {
  const common = { address, mac: '00:00:00:00:00:00', internal, cidr: null, netmask: '' }
  return address.includes(':') ? { ...common, family: 'IPv6', scopeid: 0 } : { ...common, family: 'IPv4' }
}

void test('a node’s own addresses are those of its interfaces that are its own alone', (t) => {
  t.same(ownAddresses({
    lo: [has('127.0.0.1', { internal: true }), has('::1', { internal: true })],
    eth0: [has('192.0.2.11'), has('2001:DB8:0::11'), has('fe80::fc:ff:fe00:1')],
    ens5: [has('10.1.0.11')],
    wg0: [has('198.51.100.11')],
    empty: undefined,
  }, []), ['192.0.2.11', '2001:db8::11', '10.1.0.11', '198.51.100.11'])
  t.end()
})

void test('what belongs to containers is not the node’s', (t) => {
  for (const name of ['docker0', 'br-1f2e3d', 'cni0', 'veth12ab', 'virbr0', 'flannel.1', 'cali123', 'cilium_host', 'lxc1', 'kube-ipvs0', 'nodelocaldns', 'dummy0', 'tunl0', 'vxlan.calico', 'geneve_sys', 'podman1']) {
    t.same(ownAddresses({ [name]: [has('172.17.0.1')] }, []), [], name)
  }
  for (const name of ['eth0', 'br0', 'bond0', 'enp0s31f6', 'wlan0', 'mydocker']) t.same(ownAddresses({ [name]: [has('172.17.0.1')] }, []), ['172.17.0.1'], name)
  t.end()
})

void test('nor is an address that the agent itself adds, or one that every node has alike', (t) => {
  t.same(ownAddresses({ lo: [has('172.30.0.1'), has('169.254.20.10')], eth0: [has('192.0.2.11'), has('169.254.9.9')] }, ['172.30.0.1']), ['192.0.2.11'])
  t.end()
})

void test('networks with an address in common', (t) => {
  const pairs: readonly (readonly [one: string, other: string, common: boolean])[] = [
    ['10.0.0.0/8', '10.244.0.0/16', true],
    ['10.244.0.0/16', '10.0.0.0/8', true],
    ['10.0.0.0/8', '10.0.0.0/8', true],
    ['10.0.0.1', '10.0.0.0/30', true],
    ['10.0.0.0/9', '10.128.0.0/9', false],
    ['0.0.0.0/0', '2001:db8::/32', false],
    ['::/0', '2001:db8::/32', true],
  ]
  for (const [one, other, common] of pairs) t.equal(overlap(one, other), common, `${one} ${other}`)
  t.end()
})
