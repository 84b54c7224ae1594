// The ClientHellos in test/fixtures/hellos: hexadecimal, behind a comment line that says what sent them.

import { readFileSync } from 'node:fs'

const folder = new URL('../../fixtures/hellos/', import.meta.url)

/** What stands in each, as far as the reader tells it. */
export const helloFixtures = {
  'openssl': { serverName: 'acme.k8s.example.com', alpnProtocols: ['h2', 'http/1.1'], supportedVersions: [0x0304, 0x0303], encryptedClientHello: false },
  'openssl-tls12': { serverName: 'acme.k8s.example.com', alpnProtocols: [], supportedVersions: [], encryptedClientHello: false },
  'openssl-without-name': { serverName: undefined, alpnProtocols: [], supportedVersions: [0x0304, 0x0303], encryptedClientHello: false },
  'openssl-resumption': { serverName: 'acme.k8s.example.com', alpnProtocols: [], supportedVersions: [0x0304, 0x0303], encryptedClientHello: false },
  'curl': { serverName: 'acme.k8s.example.com', alpnProtocols: ['h2', 'http/1.1'], supportedVersions: [0x0304, 0x0303], encryptedClientHello: false },
  'go-mlkem': { serverName: 'acme.k8s.example.com', alpnProtocols: ['h2', 'http/1.1'], supportedVersions: [0x0304, 0x0303], encryptedClientHello: false },
  'go-classic': { serverName: 'acme.k8s.example.com', alpnProtocols: ['h2', 'http/1.1'], supportedVersions: [0x0304, 0x0303], encryptedClientHello: false },
  'go-ech': { serverName: 'public.k8s.example.com', alpnProtocols: ['h2', 'http/1.1'], supportedVersions: [0x0304], encryptedClientHello: true },
  'kubectl': { serverName: 'acme.k8s.example.com', alpnProtocols: ['h2', 'http/1.1'], supportedVersions: [0x0304, 0x0303], encryptedClientHello: false },
  'kubectl-ip-address': { serverName: undefined, alpnProtocols: ['h2', 'http/1.1'], supportedVersions: [0x0304, 0x0303], encryptedClientHello: false },
  'node': { serverName: 'acme.k8s.example.com', alpnProtocols: ['h2', 'http/1.1'], supportedVersions: [0x0304, 0x0303], encryptedClientHello: false },
} as const

export type HelloFixture = keyof typeof helloFixtures

export const helloFixtureNames = Object.keys(helloFixtures) as readonly HelloFixture[]

export function readHelloFixture(name: HelloFixture): Buffer {
  const text = readFileSync(new URL(`${name}.hex`, folder), 'utf8')
  return Buffer.from(text.replace(/^#.*$/gm, '').replace(/\s/g, ''), 'hex')
}
