// A certificate authority of a few minutes' life, for the demo and the tests: P-256 keys, X.509 v3 certificates written
// as DER by hand, because the dozen fields they need (RFC 5280 §4.1) are shorter than any library's set-up.
//
//   Certificate ::= SEQUENCE { tbsCertificate, ecdsa-with-SHA256, BIT STRING signature }
//   tbsCertificate: [0] v3, serial, ecdsa-with-SHA256, issuer, validity, subject, public key, [3] extensions
//
// Not for production: keys are plain PEM, nothing is revoked, and no name is checked.

import { createHash, createPrivateKey, createPublicKey, generateKeyPairSync, type KeyObject, randomBytes, sign } from 'node:crypto'
import { isIPv4 } from 'node:net'

const lifetimeDays = 30
const dayMs = 86_400_000
/** Other machines' clocks may be behind ours. */
const backdateMs = 3_600_000

export type CertificateUsage = 'server' | 'client'

interface CertificateRequest {
  readonly commonName: string
  /** The groups of a Kubernetes client certificate, or the tenant of a node's. */
  readonly organization?: string | readonly string[]
  readonly dnsNames?: readonly string[]
  /** IPv4 or IPv6 literals. */
  readonly ipAddresses?: readonly string[]
  /** Empty: the certificate does not say. */
  readonly usages: readonly CertificateUsage[]
  /** From now to its end; below 0: it has ended. @default 30 */
  readonly daysLeft?: number
  /** PKCS #8 in PEM, of a P-256 key that the certificate is for. @default a new one */
  readonly keyPem?: string
}

/** PEM texts: the certificate and its PKCS #8 key. */
export interface IssuedCertificate {
  readonly certificatePem: string
  readonly keyPem: string
}

export interface CertificateAuthority {
  readonly certificatePem: string
  issue(request: CertificateRequest): IssuedCertificate
}

export function createCa(commonName: string): CertificateAuthority {
  const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  const name = distinguishedName({ commonName })
  const keyId = subjectKeyIdentifier(publicKey)
  const certificatePem = certificate({
    issuer: name,
    issuerKey: privateKey,
    subject: name,
    publicKey,
    extensions: [
      extension(oids.basicConstraints, sequence(boolean(true)), { critical: true }),
      extension(oids.keyUsage, keyUsageBits({ digitalSignature: true, keyCertSign: true }), { critical: true }),
      extension(oids.subjectKeyIdentifier, element(0x04, keyId)),
    ],
  })
  return {
    certificatePem,
    issue: request => issue(request, { issuer: name, issuerKey: privateKey, issuerKeyId: keyId }),
  }
}

interface Issuer {
  readonly issuer: Buffer
  readonly issuerKey: KeyObject
  readonly issuerKeyId: Buffer
}

function issue(request: CertificateRequest, { issuer, issuerKey, issuerKeyId }: Issuer): IssuedCertificate {
  const privateKey = request.keyPem === undefined ? generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey : createPrivateKey(request.keyPem)
  const publicKey = createPublicKey(privateKey)
  const alternativeNames = [
    ...(request.dnsNames ?? []).map(name => element(0x82, Buffer.from(name, 'ascii'))),
    ...(request.ipAddresses ?? []).map(address => element(0x87, addressBytes(address))),
  ]
  const certificatePem = certificate({
    issuer,
    issuerKey,
    subject: distinguishedName(request),
    publicKey,
    ...(request.daysLeft === undefined ? {} : { daysLeft: request.daysLeft }),
    extensions: [
      extension(oids.keyUsage, keyUsageBits({ digitalSignature: true, keyCertSign: false }), { critical: true }),
      ...(request.usages.length === 0 ? [] : [extension(oids.extendedKeyUsage, sequence(...request.usages.map(usage => objectIdentifier(usageOids[usage]))))]),
      extension(oids.subjectKeyIdentifier, element(0x04, subjectKeyIdentifier(publicKey))),
      extension(oids.authorityKeyIdentifier, sequence(element(0x80, issuerKeyId))),
      ...(alternativeNames.length === 0 ? [] : [extension(oids.subjectAltName, sequence(...alternativeNames))]),
    ],
  })
  return { certificatePem, keyPem: privateKey.export({ type: 'pkcs8', format: 'pem' }) }
}

interface CertificateFields {
  readonly issuer: Buffer
  readonly issuerKey: KeyObject
  readonly subject: Buffer
  readonly publicKey: KeyObject
  readonly extensions: readonly Buffer[]
  readonly daysLeft?: number
}

function certificate({ issuer, issuerKey, subject, publicKey, extensions, daysLeft = lifetimeDays }: CertificateFields): string {
  const nowMs = Date.now()
  const endMs = nowMs + daysLeft * dayMs
  const algorithm = sequence(objectIdentifier(oids.ecdsaWithSha256))
  const toBeSigned = sequence(
    element(0xa0, integer(Buffer.of(2))),
    integer(serialNumber()),
    algorithm,
    issuer,
    sequence(time(Math.min(nowMs, endMs) - backdateMs), time(endMs)),
    subject,
    publicKey.export({ type: 'spki', format: 'der' }),
    element(0xa3, sequence(...extensions)),
  )
  const der = sequence(toBeSigned, algorithm, bitString(sign('sha256', toBeSigned, issuerKey)))
  const lines = der.toString('base64').replaceAll(/.{64}(?=.)/g, '$&\n')
  return `-----BEGIN CERTIFICATE-----\n${lines}\n-----END CERTIFICATE-----\n`
}

const oids = {
  ecdsaWithSha256: '1.2.840.10045.4.3.2',
  commonName: '2.5.4.3',
  organization: '2.5.4.10',
  subjectKeyIdentifier: '2.5.29.14',
  keyUsage: '2.5.29.15',
  subjectAltName: '2.5.29.17',
  basicConstraints: '2.5.29.19',
  authorityKeyIdentifier: '2.5.29.35',
  extendedKeyUsage: '2.5.29.37',
} as const

const usageOids: Readonly<Record<CertificateUsage, string>> = {
  server: '1.3.6.1.5.5.7.3.1',
  client: '1.3.6.1.5.5.7.3.2',
}

function distinguishedName({ organization = [], commonName }: Pick<CertificateRequest, 'organization' | 'commonName'>): Buffer {
  const attribute = (oid: string, value: string): Buffer =>
    element(0x31, sequence(objectIdentifier(oid), element(0x0c, Buffer.from(value, 'utf8'))))
  return sequence(
    ...[organization].flat().map(each => attribute(oids.organization, each)),
    attribute(oids.commonName, commonName),
  )
}

function extension(oid: string, value: Buffer, { critical = false }: { critical?: boolean } = {}): Buffer {
  return sequence(objectIdentifier(oid), ...(critical ? [boolean(true)] : []), element(0x04, value))
}

/** RFC 5280 §4.2.1.3: digitalSignature is bit 0, keyCertSign bit 5, counted from the left. */
function keyUsageBits({ digitalSignature, keyCertSign }: { digitalSignature: boolean; keyCertSign: boolean }): Buffer {
  const bits = (digitalSignature ? 0x80 : 0) | (keyCertSign ? 0x04 : 0)
  return element(0x03, Buffer.of(keyCertSign ? 2 : 7, bits))
}

/** RFC 7093 §2, method 1: SHA-256 over the public key's bits, cut to 160. */
function subjectKeyIdentifier(publicKey: KeyObject): Buffer {
  const point = publicKey.export({ type: 'spki', format: 'der' }).subarray(-uncompressedPointBytes)
  return createHash('sha256').update(point).digest().subarray(0, 20)
}

/** 0x04, x, y: the end of a P-256 SubjectPublicKeyInfo (SEC 1 §2.3.3). */
const uncompressedPointBytes = 65

function addressBytes(address: string): Buffer {
  if (isIPv4(address)) return Buffer.from(address.split('.').map(Number))
  const [head = '', tail] = address.split('::')
  const left = hexGroups(head)
  const right = hexGroups(tail ?? '')
  const bytes = Buffer.alloc(16)
  for (const [index, group] of [...left, ...Array<number>(8 - left.length - right.length).fill(0), ...right].entries()) {
    bytes.writeUInt16BE(group, index * 2)
  }
  return bytes
}

function hexGroups(text: string): number[] {
  return text === '' ? [] : text.split(':').map(group => Number.parseInt(group, 16))
}

// DER (X.690): tag, length, content.

function element(tag: number, content: Buffer): Buffer {
  const { length } = content
  const header = length < 0x80
    ? [tag, length]
    : length < 0x100 ? [tag, 0x81, length] : [tag, 0x82, length >> 8, length & 0xff]
  return Buffer.concat([Buffer.from(header), content])
}

function sequence(...content: readonly Buffer[]): Buffer {
  return element(0x30, Buffer.concat(content))
}

function boolean(value: boolean): Buffer {
  return element(0x01, Buffer.of(value ? 0xff : 0))
}

/** @param content big-endian two's complement, in as few bytes as it takes */
function integer(content: Buffer): Buffer {
  return element(0x02, content)
}

/** 126 random bits below a leading 01, which keeps the number positive and its length minimal. */
function serialNumber(): Buffer {
  const bytes = randomBytes(16)
  bytes.writeUInt8((bytes.readUInt8(0) & 0x3f) | 0x40, 0)
  return bytes
}

function bitString(bytes: Buffer): Buffer {
  return element(0x03, Buffer.concat([Buffer.of(0), bytes]))
}

function objectIdentifier(dotted: string): Buffer {
  const [first = 0, second = 0, ...rest] = dotted.split('.').map(Number)
  return element(0x06, Buffer.from([first * 40 + second, ...rest].flatMap(base128)))
}

function base128(value: number): number[] {
  return value < 0x80 ? [value] : [...base128(Math.floor(value / 0x80)).map(byte => byte | 0x80), value % 0x80]
}

/** UTCTime: fine until 2050 (RFC 5280 §4.1.2.5). */
function time(epochMs: number): Buffer {
  const digits = new Date(epochMs).toISOString().replaceAll(/\D/g, '').slice(2, 14)
  return element(0x17, Buffer.from(`${digits}Z`, 'ascii'))
}
