import { X509Certificate } from 'node:crypto'
import { once } from 'node:events'
import { connect, createServer, TLSSocket } from 'node:tls'
import { test } from 'tap'
import { type CertificateUsage, createCa } from '../../../src/cli/demo/certificates.ts'

const serverAuth = '1.3.6.1.5.5.7.3.1'
const clientAuth = '1.3.6.1.5.5.7.3.2'

void test('createCa gives an authority that signs, and signed itself', t => {
  const ca = new X509Certificate(createCa('acme CA').certificatePem)
  t.equal(ca.subject, 'CN=acme CA')
  t.equal(ca.issuer, ca.subject)
  t.equal(ca.ca, true)
  t.ok(ca.verify(ca.publicKey))
  t.end()
})

void test('issue puts what was asked for into the certificate', t => {
  const cases: readonly { request: Parameters<ReturnType<typeof createCa>['issue']>[0]; subject: string; names: string | undefined; usages: string[] }[] = [
    {
      request: { commonName: 'acme-admin', organization: 'system:masters', usages: ['client'] },
      subject: 'O=system:masters\nCN=acme-admin',
      names: undefined,
      usages: [clientAuth],
    },
    {
      request: { commonName: 'acme', dnsNames: ['acme.example.test', '*.acme.example.test'], usages: ['server'] },
      subject: 'CN=acme',
      names: 'DNS:acme.example.test, DNS:*.acme.example.test',
      usages: [serverAuth],
    },
    {
      request: { commonName: 'etcd', dnsNames: ['localhost'], ipAddresses: ['127.0.0.1', '::1', '2001:db8::a:0'], usages: ['server', 'client'] },
      subject: 'CN=etcd',
      names: 'DNS:localhost, IP Address:127.0.0.1, IP Address:0:0:0:0:0:0:0:1, IP Address:2001:DB8:0:0:0:0:A:0',
      usages: [serverAuth, clientAuth],
    },
  ]
  const ca = createCa('test CA')
  const authority = new X509Certificate(ca.certificatePem)
  for (const { request, subject, names, usages } of cases) {
    const certificate = new X509Certificate(ca.issue(request).certificatePem)
    t.equal(certificate.subject, subject)
    t.equal(certificate.subjectAltName, names)
    t.same(certificate.keyUsage, usages)
    t.equal(certificate.ca, false)
    t.ok(certificate.verify(authority.publicKey))
    t.ok(certificate.checkIssued(authority))
  }
  t.end()
})

void test('serial numbers are positive, of 16 bytes, and differ', t => {
  const ca = createCa('test CA')
  const serials = Array.from({ length: 50 }, () => new X509Certificate(ca.issue({ commonName: 'x', usages: ['client'] }).certificatePem).serialNumber)
  t.equal(new Set(serials).size, serials.length)
  for (const serial of serials) t.match(serial, /^[4-7][0-9A-F]{31}$/)
  t.end()
})

void test('both ends of a TLS connection accept the certificates, and only their own authority\'s', async t => {
  const [ours, others] = [createCa('our CA'), createCa('other CA')]
  const usages: readonly CertificateUsage[] = ['server']
  const serving = ours.issue({ commonName: 'acme', dnsNames: ['acme.example.test'], usages })
  const client = ours.issue({ commonName: 'admin', usages: ['client'] })
  const server = createServer({ cert: serving.certificatePem, key: serving.keyPem, ca: ours.certificatePem, requestCert: true })
  // A client that does not trust us leaves with an alert.
  server.on('tlsClientError', () => {})
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => server.close())
  const address = server.address()
  if (address === null || typeof address === 'string') throw new Error('a TCP server has no port')
  const dial = (ca: string): TLSSocket => connect({
    host: '127.0.0.1',
    port: address.port,
    servername: 'acme.example.test',
    ca,
    cert: client.certificatePem,
    key: client.keyPem,
  })

  const trusting = dial(ours.certificatePem)
  const [[accepted]] = await Promise.all([once(server, 'secureConnection'), once(trusting, 'secureConnect')])
  t.equal(trusting.authorized, true)
  t.equal(accepted instanceof TLSSocket && accepted.authorized, true)
  trusting.destroy()

  const [error] = await once(dial(others.certificatePem), 'error')
  t.match(error, { code: 'SELF_SIGNED_CERT_IN_CHAIN' })
})
