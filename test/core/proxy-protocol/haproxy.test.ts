// HAProxy, whose protocol this is: headers captured from it, and, where it is on PATH, ours read by it.
//
//   encodeProxyHeader ─▶ HAProxy: accept-proxy, then send-proxy-v2 with all that it has understood ─▶ ProxyHeaderReader

import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { connect, createServer, type Server } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { buffer } from 'node:stream/consumers'
import { test } from 'tap'
import { encodeProxyHeader, type ProxyHeaderOptions } from '../../../src/core/proxy-protocol/encode.ts'
import type { ProxyHeader } from '../../../src/core/proxy-protocol/header.ts'
import { ProxyHeaderReader } from '../../../src/core/proxy-protocol/reader.ts'
import { fixture } from './fixture.ts'

const program = 'haproxy'
const request = 'GET / HTTP/1.1\r\n\r\n'

function readWhole(bytes: Uint8Array): { readonly header: ProxyHeader; readonly behind: string } {
  const progress = new ProxyHeaderReader().push(bytes)
  if (progress.kind !== 'complete') throw new Error(`${progress.kind}: ${'detail' in progress ? progress.detail : ''}`)
  return { header: progress.header, behind: Buffer.from(bytes.subarray(progress.consumedBytes)).toString('latin1') }
}

/** With the unique id as text, which HAProxy makes it. */
function readable({ tlvs: { uniqueId, ...tlvs }, ...header }: ProxyHeader): unknown {
  return { ...header, tlvs: { ...tlvs, ...(uniqueId !== undefined && { uniqueId: Buffer.from(uniqueId).toString('latin1') }) } }
}

const loopback4 = '127.0.0.1'
const zeros31 = '0'.repeat(31)

const captured: Readonly<Record<string, unknown>> = {
  'haproxy-v1-tcp4': { version: 1, command: 'proxy', tlvs: {}, source: { address: loopback4, port: 38_936 }, destination: { address: loopback4, port: 20_011 } },
  'haproxy-v1-tcp6': { version: 1, command: 'proxy', tlvs: {}, source: { address: '::1', port: 37_336 }, destination: { address: '::1', port: 20_012 } },
  'haproxy-v2-tcp4': {
    version: 2, command: 'proxy', source: { address: loopback4, port: 51_318 }, destination: { address: loopback4, port: 20_013 },
    tlvs: { uniqueId: '7F000001:C876_7F000001:4E2D_6B059AED_0002:5DEF' },
  },
  'haproxy-v2-tcp6': {
    version: 2, command: 'proxy', source: { address: '::1', port: 41_912 }, destination: { address: '::1', port: 20_014 },
    tlvs: { uniqueId: `${zeros31}1:A3B8_${zeros31}1:4E2E_6B059AED_0003:5DEF` },
  },
  'haproxy-v2-tls-authority': {
    version: 2, command: 'proxy', source: { address: '::1', port: 38_274 }, destination: { address: '::1', port: 20_016 },
    tlvs: { authority: 'acme.k8s.example.test', uniqueId: `${zeros31}1:9582_${zeros31}1:4E30_6B059AED_0005:5DEF` },
  },
  'haproxy-v2-tls-client-certificate': {
    version: 2, command: 'proxy', source: { address: loopback4, port: 40_596 }, destination: { address: loopback4, port: 20_015 },
    tlvs: {
      alpn: 'h2', authority: 'acme.k8s.example.test', uniqueId: '7F000001:9E94_7F000001:4E2F_6B059AED_0004:5DEF',
      ssl: { clientSsl: true, clientCertificate: true, verified: true, version: 'TLSv1.3', commonName: 'client.example.test', cipher: 'TLS_AES_256_GCM_SHA384' },
    },
  },
  'haproxy-v2-local-health-check': { version: 2, command: 'local', tlvs: {} },
}

void test('headers that HAProxy has sent are read', async (t) => {
  for (const [name, expected] of Object.entries(captured)) {
    const { header, behind } = readWhole(fixture(name))
    t.same(readable(header), expected, name)
    t.equal(behind, header.command === 'local' ? '' : request, `${name}: what follows`)
  }
})

void test('a checksum of HAProxy\'s is compared', async (t) => {
  for (const name of ['haproxy-v2-tcp4', 'haproxy-v2-tcp6', 'haproxy-v2-tls-client-certificate']) {
    const bytes = Uint8Array.from(fixture(name))
    bytes[16] = (bytes[16] ?? 0) ^ 1
    t.match(new ProxyHeaderReader().push(bytes), { kind: 'refused', detail: 'the CRC32c is wrong' }, name)
  }
})

const ipv4 = { source: { address: '192.0.2.7', port: 40_000 }, destination: { address: '198.51.100.1', port: 6443 } }
const ipv6 = { source: { address: '2001:db8::7', port: 40_000 }, destination: { address: '2001:db8:1::1', port: 6443 } }
const extras = { authority: 'acme.example.test', uniqueId: Buffer.from('a-unique-id'), crc32c: true }

const sent: readonly (readonly [what: string, options: ProxyHeaderOptions])[] = [
  ['v1, IPv4', { version: 'v1', ...ipv4 }],
  ['v1, IPv6', { version: 'v1', ...ipv6 }],
  ['v1, IPv4 to IPv6', { version: 'v1', source: ipv4.source, destination: ipv6.destination }],
  ['v2, IPv4', { version: 'v2', ...ipv4 }],
  ['v2, IPv6', { version: 'v2', ...ipv6 }],
  ['v2, IPv6 to IPv4', { version: 'v2', source: ipv6.source, destination: ipv4.destination }],
  ['v2, IPv4, TLVs', { version: 'v2', ...ipv4, ...extras }],
  ['v2, IPv6, TLVs', { version: 'v2', ...ipv6, ...extras }],
]

/** UNIX sockets, so that no port has to be free. A health check comes from a HAProxy that listens already. */
const configuration = (folder: string): string => `
defaults
  mode tcp
  timeout connect 5s
  timeout client 5s
  timeout server 5s
frontend in
  bind unix@${folder}/in.sock accept-proxy
  unique-id-format %[fc_pp_unique_id]
  default_backend out
backend out
  server out unix@${folder}/out.sock send-proxy-v2 proxy-v2-options crc32c,authority,unique-id
backend ready
  server ready unix@${folder}/ready.sock check
`

async function listening(path: string): Promise<Server> {
  const server = createServer({ allowHalfOpen: true })
  await once(server.listen(path), 'listening')
  return server
}

const onPath = spawnSync(program, ['-v']).status === 0

void test('headers that we send are read by HAProxy', { skip: onPath ? false : 'there is no haproxy on PATH' }, async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'sluice-haproxy-'))
  t.teardown(() => rmSync(folder, { recursive: true }))
  const upstream = await listening(join(folder, 'out.sock'))
  const ready = await listening(join(folder, 'ready.sock'))
  ready.on('connection', (check) => check.destroy())
  t.teardown(() => { upstream.close(); ready.close() })
  writeFileSync(join(folder, 'haproxy.cfg'), configuration(folder))
  const haproxy = spawn(program, ['-db', '-f', join(folder, 'haproxy.cfg')], { stdio: ['ignore', 'inherit', 'inherit'] })
  const ended = once(haproxy, 'close')
  t.teardown(async () => {
    haproxy.kill('SIGKILL')
    await ended
  })
  await Promise.race([once(ready, 'connection'), ended.then(() => { throw new Error('haproxy has ended') })])
  for (const [what, options] of sent) {
    const client = connect(join(folder, 'in.sock'))
    client.end(Buffer.concat([encodeProxyHeader(options), Buffer.from(request)]))
    const [accepted] = await once(upstream, 'connection')
    const { header, behind } = readWhole(await buffer(accepted))
    accepted.end()
    client.destroy()
    const { source, destination } = options
    const tlvs = 'authority' in options ? { authority: extras.authority, uniqueId: extras.uniqueId.toString() } : {}
    t.match(readable(header), { version: 2, command: 'proxy', source, destination, tlvs }, what)
    t.equal(behind, request, `${what}: what follows`)
  }
})
