import { generateKeyPairSync, sign, verify } from 'node:crypto'
import { test } from 'tap'
import { peerProofBytes } from '../../../src/core/identity/peer-proof.ts'
import { proofBytes } from '../../../src/core/identity/proof.ts'
import { namePattern } from '../../../src/core/name.ts'

const { publicKey, privateKey } = generateKeyPairSync('ed25519')
const raw = (key: typeof publicKey): Uint8Array => Buffer.from(key.export({ format: 'jwk' }).x ?? '', 'base64url')
const right = { exporter: Buffer.alloc(32, 1), prover: { id: 'a', publicKey: raw(publicKey) }, verifier: 'b', role: 'client' } as const

void test('who proves itself to whom, in which role, on which connection, with which key: all of it is signed', (t) => {
  const proof = sign(null, peerProofBytes(right), privateKey)
  t.ok(verify(null, peerProofBytes(right), publicKey, proof))
  const others: Readonly<Record<string, Parameters<typeof peerProofBytes>[0]>> = {
    'another connection': { ...right, exporter: Buffer.alloc(32, 2) },
    'another gateway proves': { ...right, prover: { ...right.prover, id: 'c' } },
    'to another gateway': { ...right, verifier: 'c' },
    'sent back by who was to be convinced': { ...right, role: 'server' },
    'with the two the other way round': { ...right, prover: { ...right.prover, id: 'b' }, verifier: 'a' },
    'of another key': { ...right, prover: { ...right.prover, publicKey: raw(generateKeyPairSync('ed25519').publicKey) } },
  }
  for (const [what, other] of Object.entries(others)) t.notOk(verify(null, peerProofBytes(other), publicKey, proof), what)
  t.end()
})

void test('no node’s proof is a gateway’s: no node can have the name that is signed', (t) => {
  const name = 'client:a>b'
  t.same(peerProofBytes(right), proofBytes({ exporter: right.exporter, publicKey: right.prover.publicKey, nodeName: name }))
  t.notOk(namePattern.test(name))
  t.end()
})
