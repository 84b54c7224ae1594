// Hostnames: what a name becomes, which names are none, and the patterns that a configuration may hold.

import fc from 'fast-check'
import { test } from 'tap'
import { hostnameBytesMax, labelBytesMax, normalizeHostname, parseHostnamePattern } from '../../../src/core/route/hostname.ts'

const label63 = 'a'.repeat(labelBytesMax)
/** As long as a name may be: 3 × 64 + 61. */
const name253 = `${label63}.${label63}.${label63}.${'b'.repeat(61)}`

const hostnames: Readonly<Record<string, string>> = {
  'acme.k8s.example.com': 'acme.k8s.example.com',
  'ACME.K8s.Example.COM': 'acme.k8s.example.com',
  'acme.example.com.': 'acme.example.com',
  'localhost': 'localhost',
  'a': 'a',
  '_acme.under_score.example.com': '_acme.under_score.example.com',
  'xn--bcher-kva.example': 'xn--bcher-kva.example',
  'a--b.example.com': 'a--b.example.com',
  '1.2.3.4.example': '1.2.3.4.example',
  '10.example.com': '10.example.com',
  '127.0.0.1a': '127.0.0.1a',
  [label63]: label63,
  [name253]: name253,
  [`${name253}.`]: name253,
}

const ipLiterals = [
  '1.2.3.4', '1.2.3.4.', '255.255.255.255', '0.0.0.0', '::', '::1', '[::1]', '2001:DB8::1', '[2001:db8::1]', '::ffff:192.0.2.1', 'fe80::1',
]

const invalid: readonly (readonly [raw: string, detail: RegExp])[] = [
  ['', /empty$/],
  ['.', /single dot/],
  ['..', /empty label/],
  ['acme..example.com', /empty label/],
  ['.acme.example.com', /empty label/],
  ['acme.example.com..', /empty label/],
  ['-acme.example.com', /hyphen/],
  ['acme-.example.com', /hyphen/],
  ['acme.example.-com', /hyphen/],
  ['acme.example.com-', /hyphen/],
  ['-', /hyphen/],
  [`${label63}a.example.com`, /label has 64 bytes; at most 63/],
  [`${name253}b`, /name has 254 bytes; at most 253/],
  ['a'.repeat(2_000), /name has 2000 bytes/],
  ['acme.example.com\u0000', /0x00 at offset 16/],
  ['acme.example.com\u0000.globex.example.com', /0x00/],
  ['acme.example.com\r\nHost', /0x0d/],
  ['acme.example.com\n', /0x0a/],
  ['acme example.com', /0x20 at offset 4/],
  [' acme.example.com', /0x20 at offset 0/],
  ['b\u00c3\u00bccher.example', /0xc3 at offset 1/],
  // The Kelvin sign folds to k, in Unicode: here it is no letter.
  ['\u212aube.example', /0x212a/],
  ['*.example.com', /0x2a/],
  ['acme.example.com/', /0x2f/],
  ['user@acme.example.com', /0x40/],
  ['acme.example.com:6443', /no IPv6 address/],
  ['[acme.example.com]', /no IPv6 address/],
  ['[1.2.3.4]', /no IPv6 address/],
  ['[::1', /no IPv6 address/],
  ['::1]', /no IPv6 address/],
  ['[::1]:6443', /no IPv6 address/],
  [':', /no IPv6 address/],
  [':::', /no IPv6 address/],
  ['fe80::1%eth0', /no IPv6 address/],
  ['1.2.3', /last label is a number/],
  ['1.2.3.4.5', /last label is a number/],
  ['1.2.3.256', /last label is a number/],
  ['01.2.3.4', /last label is a number/],
  ['3232235777', /last label is a number/],
  ['acme.example.123', /last label is a number/],
]

void test('a hostname is folded to lower case and loses one trailing dot', async (t) => {
  for (const [raw, hostname] of Object.entries(hostnames)) t.same(normalizeHostname(raw), { kind: 'hostname', hostname }, raw)
})

void test('an IP address is none, in any of its forms', async (t) => {
  for (const raw of ipLiterals) t.same(normalizeHostname(raw), { kind: 'ip-literal' }, raw)
})

void test('what is no hostname is refused, and told why', async (t) => {
  for (const [raw, detail] of invalid) t.match(normalizeHostname(raw), { kind: 'invalid', detail }, JSON.stringify(raw))
})

const latin1 = fc.uint8Array({ maxLength: 300 }).map((bytes) => Buffer.from(bytes).toString('latin1'))
const nearlyHostname = fc.string({ unit: fc.constantFrom('a', 'B', '7', '-', '_', '.', '.', ':', '[', ']', '*', '\u0000'), maxLength: 30 })

void test('any bytes: no throw; a hostname is as it was but for case and dot, printable, and stays as it is', async () => {
  fc.assert(fc.property(fc.oneof(latin1, nearlyHostname), (raw) => {
    const normalized = normalizeHostname(raw)
    if (normalized.kind !== 'hostname') return normalized.kind === 'ip-literal' || /^[\x20-\x7e]+$/.test(normalized.detail)
    const { hostname } = normalized
    const again = normalizeHostname(hostname)
    return hostname === raw.toLowerCase().replace(/\.$/, '')
      && /^[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?(\.[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?)*$/.test(hostname)
      && hostname.length <= hostnameBytesMax
      && again.kind === 'hostname' && again.hostname === hostname
  }), { numRuns: 2_000 })
})

void test('case and a trailing dot change nothing', async () => {
  fc.assert(fc.property(nearlyHostname, (raw) => {
    const lower = JSON.stringify(normalizeHostname(raw.toLowerCase()))
    const normalized = normalizeHostname(raw)
    if (normalized.kind === 'invalid') return JSON.parse(lower).kind === 'invalid'
    return JSON.stringify(normalized) === lower
      && JSON.stringify(normalizeHostname(raw.toUpperCase())) === lower
      && JSON.stringify(normalizeHostname(`${raw.replace(/\.$/, '')}.`)) === lower
  }), { numRuns: 1_000 })
})

void test('a pattern is a hostname, or *. and a hostname', async (t) => {
  t.same(parseHostnamePattern('Acme.Example.com.'), { kind: 'pattern', pattern: 'acme.example.com', wildcard: false })
  t.same(parseHostnamePattern('*.Acme.Example.com.'), { kind: 'pattern', pattern: '*.acme.example.com', wildcard: true })
  t.same(parseHostnamePattern('*.com'), { kind: 'pattern', pattern: '*.com', wildcard: true })
})

const badPatterns: readonly (readonly [text: string, detail: RegExp])[] = [
  ['*', /whole first label: \*\.example\.com/],
  ['**.example.com', /whole first label/],
  ['*a.example.com', /whole first label/],
  ['a*.example.com', /whole first label/],
  ['a.*.example.com', /whole first label/],
  ['*.*.example.com', /whole first label/],
  ['example.*', /whole first label/],
  ['*.', /empty/],
  ['*..example.com', /empty label/],
  ['', /empty/],
  ['1.2.3.4', /IP address is no hostname/],
  ['*.1.2.3.4', /IP address is no hostname/],
  ['::1', /IP address is no hostname/],
  ['acme.example.com:6443', /no IPv6 address/],
  ['b\u00fccher.example', /0xfc at offset 1/],
  [`*.${name253}`, /name has 255 bytes; at most 253/],
]

void test('what is no pattern is refused, and told why', async (t) => {
  for (const [text, detail] of badPatterns) t.match(parseHostnamePattern(text), { kind: 'invalid', detail }, JSON.stringify(text))
})
