import fc from 'fast-check'
import { test } from 'tap'
import { CidrSet, formatCidr, masked, parseCidr } from '../../../src/core/net/cidr.ts'
import { canonicalAddress, formatIpAddress } from '../../../src/core/net/ip-address.ts'
import { specialAddress } from '../../../src/core/net/special-ranges.ts'
import { createReversePolicy, type AllowEntry, type AskedVerdict, type PortRange, type ReversePolicy } from '../../../src/core/tunnel/reverse-policy.ts'

const kubelet: readonly PortRange[] = [{ from: 10_250, to: 10_250 }]
const anyPort: readonly PortRange[] = [{ from: 1, to: 65_535 }]
const node = { name: 'worker-1', addresses: ['192.0.2.11', '2001:db8::11'] }

function policyOf(allow: readonly AllowEntry[], its: { readonly name: string; readonly addresses: readonly string[] } = node): ReversePolicy {
  return createReversePolicy(allow, its)
}

const whole = policyOf([
  { kind: 'node', ports: kubelet },
  { kind: 'cidr', cidr: '10.244.0.0/16', ports: [{ from: 443, to: 443 }, { from: 8_000, to: 8_100 }] },
  { kind: 'host', host: 'hook.corp.example', ports: [{ from: 8_443, to: 8_443 }] },
  { kind: 'host', host: '*.svc.example', ports: [{ from: 443, to: 443 }] },
])

const asked: readonly (readonly [what: string, host: string, port: number, verdict: AskedVerdict | RegExp])[] = [
  ['the node’s own address', '192.0.2.11', 10_250, { kind: 'dial', addresses: ['192.0.2.11'] }],
  ['in another spelling', '2001:DB8:0::11', 10_250, { kind: 'dial', addresses: ['2001:db8::11'] }],
  ['IPv4-mapped', '::ffff:192.0.2.11', 10_250, { kind: 'dial', addresses: ['192.0.2.11'] }],
  ['the node’s name stands for its addresses', 'worker-1', 10_250, { kind: 'dial', addresses: node.addresses }],
  ['in upper case, with a dot behind', 'WORKER-1.', 10_250, { kind: 'dial', addresses: node.addresses }],
  ['another port of the node', '192.0.2.11', 22, /^192\.0\.2\.11, port 22: not in reverse\.allow$/],
  ['another port of the node by its name', 'worker-1', 22, /^port 22 of this node: not in reverse\.allow$/],
  ['a neighbour', '192.0.2.12', 10_250, /^192\.0\.2\.12, port 10250: not in reverse\.allow$/],
  ['the first port of a range', '10.244.3.9', 8_000, { kind: 'dial', addresses: ['10.244.3.9'] }],
  ['the last one', '10.244.3.9', 8_100, { kind: 'dial', addresses: ['10.244.3.9'] }],
  ['the one behind it', '10.244.3.9', 8_101, /not in reverse\.allow/],
  ['a port of another entry', '10.244.3.9', 10_250, /not in reverse\.allow/],
  ['a name', 'hook.corp.example', 8_443, { kind: 'resolve', name: 'hook.corp.example' }],
  ['a name in upper case, with a dot behind', 'Hook.Corp.Example.', 8_443, { kind: 'resolve', name: 'hook.corp.example' }],
  ['a name below a wildcard', 'a.b.svc.example', 443, { kind: 'resolve', name: 'a.b.svc.example' }],
  ['any name, where an address that it may have could be allowed', 'somewhere.example', 443, { kind: 'resolve', name: 'somewhere.example' }],
  ['a name at a port that nothing is allowed at', 'hook.corp.example', 22, /^hook\.corp\.example, port 22: not in reverse\.allow$/],
  ['a wildcard itself', '*.svc.example', 443, /is neither an IP address nor a host name/],
  ['a zone', 'fe80::1%eth0', 443, /is neither an IP address nor a host name/],
  ['nothing', '', 443, /is neither/],
  ['a dot', '.', 443, /is neither/],
  ['two dots behind', 'hook.corp.example..', 8_443, /is neither/],
  ['a very long text', 'x_'.repeat(4_000), 443, /^(?:x_){50} is neither/],
]

void test('what a gateway may ask for', (t) => {
  for (const [what, host, port, expected] of asked) {
    const verdict = whole.asked(host, port)
    if (expected instanceof RegExp) t.match(verdict, { kind: 'refused', why: expected }, what)
    else t.same(verdict, expected, what)
  }
  t.end()
})

/** Where clouds give out credentials, as resolvers and people write it. */
const spellings = ['169.254.169.254', '::ffff:169.254.169.254', '::ffff:a9fe:a9fe', '0:0:0:0:0:FFFF:169.254.169.254', '0xa9fea9fe', '0XA9FEA9FE', '2852039166', '0251.0376.0251.0376', '169.254.43518', '169.16689662', '0xa9.0xfe.0xa9.0xfe', '0xa9.0xfe.0xa9fe', '169.254.169.254.', '169.254.169.0xfe', '0x', '0x.', '00000251.254.169.254', '[::ffff:169.254.169.254]']

void test('everything is allowed: special addresses are not, however they are written', (t) => {
  const all = policyOf([{ kind: 'cidr', cidr: '0.0.0.0/0', ports: anyPort }, { kind: 'cidr', cidr: '::/0', ports: anyPort }, { kind: 'node', ports: anyPort }])
  for (const host of [...spellings, '127.0.0.1', '::1', '0.0.0.0', '::', 'fe80::1', '224.0.0.1', 'ff02::1', '255.255.255.255']) t.match(all.asked(host, 80), { kind: 'refused' }, host)
  t.match(all.asked('169.254.169.254', 80), { why: '169.254.169.254, port 80: link-local is not dialled unless reverse.allow names it' })
  t.match(all.asked('8.8.8.8', 53), { kind: 'dial' })
  t.end()
})

void test('a network within a special range allows what is in it, and no more', (t) => {
  const policy = policyOf([{ kind: 'cidr', cidr: '169.254.20.0/24', ports: [{ from: 53, to: 53 }] }, { kind: 'cidr', cidr: '0.0.0.0/0', ports: anyPort }, { kind: 'cidr', cidr: '126.0.0.0/7', ports: anyPort }])
  t.match(policy.asked('169.254.20.10', 53), { kind: 'dial' })
  t.match(policy.asked('169.254.20.10', 80), { kind: 'refused' })
  t.match(policy.asked('169.254.169.254', 53), { kind: 'refused' })
  t.match(policy.asked('127.0.0.1', 53), { kind: 'refused' }, 'a network that is special in part')
  t.match(policy.asked('126.0.0.1', 53), { kind: 'dial' })
  t.end()
})

const resolved: readonly (readonly [what: string, name: string, address: string, port: number, why: RegExp | undefined])[] = [
  ['a name that is allowed, wherever it leads', 'hook.corp.example', '198.51.100.7', 8_443, undefined],
  ['at another port', 'hook.corp.example', '198.51.100.7', 443, /^hook\.corp\.example is 198\.51\.100\.7, port 443: not in reverse\.allow$/],
  ['but not to where clouds give out credentials', 'hook.corp.example', '169.254.169.254', 8_443, /^hook\.corp\.example is 169\.254\.169\.254, port 8443: link-local is not dialled unless reverse\.allow names it$/],
  ['nor as an IPv4-mapped address', 'hook.corp.example', '::ffff:169.254.169.254', 8_443, /is 169\.254\.169\.254, port 8443: link-local/],
  ['nor to this machine', 'hook.corp.example', '127.0.0.1', 8_443, /loopback/],
  ['nor so in IPv6', 'a.svc.example', '::1', 443, /loopback/],
  ['a link-local address with a zone', 'a.svc.example', 'fe80::1%eth0', 443, /^fe80::1%eth0 is no IP address$/],
  ['a name that nothing names, with an address that is allowed', 'somewhere.example', '10.244.3.9', 443, undefined],
  ['… and one that is not', 'somewhere.example', '198.51.100.7', 443, /not in reverse\.allow/],
  ['the wildcard’s own name', 'svc.example', '198.51.100.7', 443, /not in reverse\.allow/],
  ['a name that ends alike', 'evilsvc.example', '198.51.100.7', 443, /not in reverse\.allow/],
]

void test('where a name leads is judged by itself', (t) => {
  for (const [what, name, address, port, why] of resolved) {
    const verdict = whole.resolved(name, address, port)
    if (why === undefined) t.equal(verdict, undefined, what)
    else t.match(verdict, why, what)
  }
  t.end()
})

void test('nothing is allowed where nothing is listed, and names are not even resolved', (t) => {
  const nothing = policyOf([])
  for (const host of ['192.0.2.11', 'worker-1', 'hook.corp.example']) t.match(nothing.asked(host, 10_250), { kind: 'refused' }, host)
  const byNode = policyOf([{ kind: 'node', ports: kubelet }], { name: 'worker-1', addresses: [] })
  for (const host of ['192.0.2.11', 'worker-1', 'hook.corp.example']) t.match(byNode.asked(host, 10_250), { kind: 'refused' }, `${host}, of a node without addresses`)
  t.end()
})

void test('where only the node itself is allowed, only its own name is resolved, in any form', (t) => {
  const its = policyOf([{ kind: 'node', ports: kubelet }])
  t.same(its.asked('worker-1.corp.example', 10_250), { kind: 'resolve', name: 'worker-1.corp.example' })
  for (const host of ['secret.attacker.example', 'worker-10', 'worker-10.corp.example', 'my-worker-1', 'corp.example']) t.match(its.asked(host, 10_250), { kind: 'refused', why: `${host}, port 10250: not in reverse.allow` })
  const long = policyOf([{ kind: 'node', ports: kubelet }], { ...node, name: 'worker-1.corp.example' })
  t.same(long.asked('worker-1', 10_250), { kind: 'resolve', name: 'worker-1' })
  t.match(long.asked('worker', 10_250), { kind: 'refused' })
  t.end()
})

void test('an entry that is no network is a bug of who has read the configuration', (t) => {
  t.throws(() => policyOf([{ kind: 'cidr', cidr: '10.0.0.1/8', ports: anyPort }]), /^bug: 10\.0\.0\.1\/8/)
  t.end()
})

const bytesOf = (length: number): fc.Arbitrary<Uint8Array> => fc.uint8Array({ minLength: length, maxLength: length })
/** Special ones among them, so that both kinds come often. */
const bytes = fc.oneof(
  fc.oneof(bytesOf(4), bytesOf(16)),
  fc.tuple(fc.constantFrom([127], [169, 254], [10, 244], [0], [224]), bytesOf(4)).map(([first, rest]) => Uint8Array.of(...first, ...rest).slice(0, 4)),
  fc.tuple(fc.constantFrom([0xfe, 0x80], [0xff], [0x20, 0x01]), bytesOf(16)).map(([first, rest]) => Uint8Array.of(...first, ...rest).slice(0, 16)),
)
const address = bytes.map((raw) => formatIpAddress({ family: raw.length === 4 ? 4 : 6, bytes: raw }))
const network = fc.tuple(bytes, fc.integer({ min: 0, max: 128 })).map(([raw, bits]) => {
  const prefixBits = bits % (8 * raw.length + 1)
  return formatCidr({ network: { family: raw.length === 4 ? 4 : 6, bytes: masked(raw, prefixBits) }, prefixBits })
})
const ports = fc.array(fc.tuple(fc.integer({ min: 1, max: 5 }), fc.integer({ min: 0, max: 2 })).map(([from, more]): PortRange => ({ from, to: from + more })), { minLength: 1, maxLength: 3 })
const entry = fc.oneof(
  fc.record({ kind: fc.constant('node' as const), ports }),
  fc.record({ kind: fc.constant('cidr' as const), cidr: network, ports }),
  fc.record({ kind: fc.constant('host' as const), host: fc.constantFrom('hook.example', '*.example', '*.hook.example'), ports }),
)
const host = fc.oneof(address, fc.constantFrom('hook.example', 'HOOK.example.', 'a.hook.example', 'worker-1', 'example', ...spellings), fc.string({ maxLength: 12 }))

void test('whatever is allowed and asked for: nothing is dialled but what an entry has, with its port; nothing special unless one lies within its range', (t) => {
  fc.assert(fc.property(fc.array(entry, { maxLength: 5 }), fc.array(address, { maxLength: 3 }), host, address, fc.integer({ min: 1, max: 9 }), (allow, addresses, wanted, found, port) => {
    const own = addresses.map((each) => canonicalAddress(each) ?? each)
    const policy = policyOf(allow, { name: 'worker-1', addresses: own })
    const verdict = policy.asked(wanted, port)
    const name = verdict.kind === 'resolve' ? verdict.name : 'hook.example'
    const dialled = verdict.kind === 'dial' ? verdict.addresses : policy.resolved(name, found, port) === undefined ? [found] : []
    const byName = verdict.kind !== 'dial'
    return dialled.every((each) => allow.some((one) => {
      if (!one.ports.some(({ from, to }) => from <= port && port <= to)) return false
      const special = specialAddress(each)
      if (one.kind === 'host') return special === undefined && byName
      const networks = one.kind === 'node' ? own : [one.cidr]
      return networks.some((its) => CidrSet.of([its]).contains(each) && (special === undefined || isAllOf(its, special)))
    }))
  }), { numRuns: 3_000 })
  t.end()
})

/** Whether the network's first and its last address are special in this way: then all between are. */
function isAllOf(text: string, special: string): boolean {
  const parsed = parseCidr(text)
  if (parsed.kind === 'invalid') return false
  const { network: { family, bytes: first }, prefixBits } = parsed.cidr
  const mask = masked(new Uint8Array(first.length).fill(0xff), prefixBits)
  const last = first.map((byte, index) => byte | (~(mask[index] ?? 0) & 0xff))
  return [first, last].every((each) => specialAddress(formatIpAddress({ family, bytes: each })) === special)
}
