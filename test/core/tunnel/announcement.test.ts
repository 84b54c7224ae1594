import fc from 'fast-check'
import { test } from 'tap'
import type { Announced } from '../../../src/core/egress/agent-table.ts'
import { parseCidr } from '../../../src/core/net/cidr.ts'
import { specialWithin } from '../../../src/core/net/special-ranges.ts'
import { announcedName, announcementFaults, announcementIn, announcementLimits, encodeAnnouncement, without } from '../../../src/core/tunnel/announcement.ts'

/** As node:http gives headers to a server. */
function received(headers: Readonly<Record<string, string>>): Record<string, string> {
  return Object.fromEntries(Object.entries(headers).map(([name, value]) => [name.toLowerCase(), value]))
}

void test('what an agent says is what a gateway hears', (t) => {
  const announced: Announced = { addresses: ['192.0.2.11', '2001:db8::11'], ranges: ['10.244.3.0/24', '2001:db8:1::/48'], names: ['webhook.corp.example', '*.svc.example'] }
  t.same(encodeAnnouncement(announced), { 'Sluice-Addresses': '192.0.2.11, 2001:db8::11', 'Sluice-Ranges': '10.244.3.0/24, 2001:db8:1::/48', 'Sluice-Names': 'webhook.corp.example, *.svc.example' })
  t.same(announcementIn(received(encodeAnnouncement(announced))), announced)
  t.end()
})

void test('who says nothing announces nothing', (t) => {
  t.same(encodeAnnouncement({ addresses: [], ranges: [], names: [] }), {})
  t.same(announcementIn({ host: 'localhost' }), { addresses: [], ranges: [], names: [] })
  t.end()
})

void test('each is written in one way, and told once', (t) => {
  t.same(announcementIn({
    'sluice-addresses': '::ffff:192.0.2.11,192.0.2.11 ,  2001:DB8:0::11',
    'sluice-ranges': '10.0.0.1, 2001:DB8::/32,10.0.0.1/32',
    'sluice-names': 'Webhook.Corp.example,webhook.corp.example',
  }), { addresses: ['192.0.2.11', '2001:db8::11'], ranges: ['10.0.0.1/32', '2001:db8::/32'], names: ['webhook.corp.example'] })
  t.end()
})

const { addressesMax, rangesMax, namesMax } = announcementLimits
const many = (count: number, each: (index: number) => string): string => Array.from({ length: count }, (_, index) => each(index)).join(',')

const malformed: readonly (readonly [what: string, headers: Readonly<Record<string, string | readonly string[]>>, error: RegExp])[] = [
  ['a name for an address', { 'sluice-addresses': 'node1' }, /^sluice-addresses: at most 64 IP addresses were expected$/],
  ['an address in another spelling', { 'sluice-addresses': '0xa9fea9fe' }, /sluice-addresses/],
  ['a leading zero', { 'sluice-addresses': '010.0.0.1' }, /sluice-addresses/],
  ['a zone', { 'sluice-addresses': 'fe80::1%eth0' }, /sluice-addresses/],
  ['a network for an address', { 'sluice-addresses': '192.0.2.0/24' }, /sluice-addresses/],
  ['nothing between commas', { 'sluice-addresses': '192.0.2.1,,192.0.2.2' }, /sluice-addresses/],
  ['an empty header', { 'sluice-addresses': '' }, /sluice-addresses/],
  ['a header twice, as a list', { 'sluice-addresses': ['192.0.2.1', '192.0.2.2'] }, /sluice-addresses/],
  ['host bits', { 'sluice-ranges': '10.0.0.1/8' }, /^sluice-ranges: at most 64 networks in CIDR notation were expected$/],
  ['an address for a name', { 'sluice-names': '192.0.2.1' }, /^sluice-names: at most 64 host names were expected$/],
  ['a wildcard of all', { 'sluice-names': '*' }, /sluice-names/],
  ['a wildcard in the middle', { 'sluice-names': 'a.*.example' }, /sluice-names/],
  ['a name that is none', { 'sluice-names': 'web_hook.example' }, /sluice-names/],
  ['too many addresses', { 'sluice-addresses': many(addressesMax + 1, (index) => `192.0.2.${index}`) }, /sluice-addresses/],
  ['too many ranges', { 'sluice-ranges': many(rangesMax + 1, (index) => `10.${index}.0.0/16`) }, /sluice-ranges/],
  ['too many names', { 'sluice-names': many(namesMax + 1, (index) => `n${index}.example`) }, /sluice-names/],
]

void test('an announcement that can’t be read is said to be so, with what was expected', (t) => {
  for (const [what, headers, error] of malformed) {
    const result = announcementIn(headers)
    t.match('malformed' in result ? result.malformed : undefined, error, what)
  }
  t.notOk('malformed' in announcementIn({ 'sluice-addresses': many(addressesMax, (index) => `192.0.2.${index}`) }), 'as many as may be')
  t.end()
})

void test('what may not be announced, and why', (t) => {
  const announced: Announced = { addresses: ['192.0.2.11', '169.254.1.1', '::1', '198.51.100.1'], ranges: ['10.244.3.0/24', '169.254.0.0/16', '0.0.0.0/0', '10.0.0.0/8'], names: ['webhook.corp.example'] }
  const special = [
    { announced: '169.254.1.1', why: 'link-local can\'t be announced' },
    { announced: '::1', why: 'loopback can\'t be announced' },
  ]
  const specialRanges = [
    { announced: '169.254.0.0/16', why: 'link-local can\'t be announced' },
    { announced: '0.0.0.0/0', why: 'this network can\'t be announced' },
  ]
  t.same(announcementFaults(announced, 'worker-1', undefined), [...special, ...specialRanges])
  const outside = (each: string): { readonly announced: string; readonly why: string } => ({ announced: each, why: 'not within what the tenant may announce: 10.244.0.0/16, 192.0.2.0/24' })
  const faults = announcementFaults(announced, 'worker-1', ['10.244.0.0/16', '192.0.2.0/24'])
  t.same(faults, [...special, outside('198.51.100.1'), ...specialRanges, outside('10.0.0.0/8'), outside('worker-1'), outside('webhook.corp.example')])
  t.same(without(announced, 'worker-1', faults), { addresses: ['192.0.2.11'], ranges: ['10.244.3.0/24'], names: [], isNameRefused: true })
  t.same(announcementFaults({ addresses: ['192.0.2.11'], ranges: [], names: [] }, 'worker-1', []), ['192.0.2.11', 'worker-1'].map((each) => ({ announced: each, why: 'not within what the tenant may announce: nothing' })))
  t.same(announcementFaults({ addresses: ['169.254.1.1'], ranges: [], names: [] }, 'worker-1', ['169.254.0.0/16', '*']), [special[0]], 'not even where a tenant’s list has it')
  t.end()
})

void test('names that may be announced, the node’s own among them', (t) => {
  const names = ['webhook.corp.example', '*.corp.example', '*.svc.corp.example', 'corp.example', 'a.corp.example.org']
  const cases: readonly (readonly [mayAnnounce: readonly string[] | undefined, node: string, refused: readonly string[]])[] = [
    [undefined, 'worker-1', []],
    [['*'], 'worker-1', []],
    [['*.corp.example'], 'worker-1.corp.example', ['corp.example', 'a.corp.example.org']],
    [['*.corp.example', 'corp.example'], 'corp.example', ['a.corp.example.org']],
    [['webhook.corp.example', 'worker-1'], 'worker-1', names.slice(1)],
    [['10.0.0.0/8'], 'worker-1', ['worker-1', ...names]],
    // Nobody is reached by a name that reads as an address: it is its address that counts.
    [['10.0.0.0/8', '*.example'], '192.0.2.1', ['a.corp.example.org']],
  ]
  for (const [mayAnnounce, node, refused] of cases) {
    const faults = announcementFaults({ addresses: [], ranges: [], names }, node, mayAnnounce)
    t.same(faults.map(({ announced }) => announced), refused, `${node}: ${mayAnnounce?.join(' ')}`)
    t.equal(without({ addresses: [], ranges: [], names }, node, faults).isNameRefused === true, refused.includes(node))
  }
  t.end()
})

void test('host names, in lower case', (t) => {
  const names: Readonly<Record<string, string | undefined>> = { 'Webhook.Corp': 'webhook.corp', '*.Corp': '*.corp', '*': undefined, '*.*.corp': undefined, 'corp.': undefined, '': undefined, '10.0.0.1': undefined, '::1': undefined, 'a b': undefined, [`${'a'.repeat(250)}.com`]: undefined }
  for (const [text, name] of Object.entries(names)) t.equal(announcedName(text), name, text)
  t.end()
})

const network = fc.tuple(fc.ipV4(), fc.integer({ min: 0, max: 32 })).map(([address, bits]) => `${address}/${bits}`).filter((text) => parseCidr(text).kind === 'cidr')
const text = fc.oneof(fc.ipV4(), fc.ipV6(), network, fc.domain(), fc.string({ maxLength: 12 }))
const header = fc.oneof(fc.constant(undefined), fc.array(text, { maxLength: 6 }).map((parts) => parts.join(', ')))

void test('whatever the headers, what is left holds: nothing special, nothing outside what the tenant may announce, and said again it is the same', (t) => {
  fc.assert(fc.property(header, header, header, fc.option(fc.array(fc.oneof(network, fc.domain(), fc.constant('*')), { maxLength: 4 }), { nil: undefined }), (addresses, ranges, names, mayAnnounce) => {
    const announced = announcementIn({ 'sluice-addresses': addresses, 'sluice-ranges': ranges, 'sluice-names': names })
    if ('malformed' in announced) return true
    const left = without(announced, 'worker-1', announcementFaults(announced, 'worker-1', mayAnnounce))
    return [...left.addresses, ...left.ranges].every((each) => {
      const parsed = parseCidr(each)
      return parsed.kind === 'cidr' && specialWithin(parsed.cidr) === undefined
    }) && announcementFaults(left, 'worker-1', mayAnnounce).every(({ announced: each }) => each === 'worker-1' && left.isNameRefused === true)
      && JSON.stringify(announcementIn(received(encodeAnnouncement(announced)))) === JSON.stringify(announced)
  }), { numRuns: 1_000 })
  t.end()
})
