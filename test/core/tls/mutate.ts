// A fuzzer: mutated ClientHellos of real clients, each judged by the reference parser and sent through a connection.
//
//   node test/core/tls/mutate.ts [count] [seed]         default 1,000,000 and a seed of the time
//
// It fails when the reader throws or disagrees, when the name it reports does not stand in a server_name extension, when
// a connection dials a tenant whose name was not in the hello, or when memory grows. The seed makes it happen again.

import { deepStrictEqual, ok } from 'node:assert/strict'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { Connection } from '../../../src/core/connection.ts'
import type { ListenerPolicy } from '../../../src/core/snapshot.ts'
import { ClientHelloReader, type HelloProgress } from '../../../src/core/tls/client-hello.ts'
import { readWholeHello } from '../../../src/core/tls/whole-hello.ts'
import { endpoint, snapshotOf, tenant } from '../../support/config.ts'
import { handshakeOf, serverNameBody, uint16, vector } from './hello-builder.ts'
import { helloFixtureNames, readHelloFixture } from './hello-fixtures.ts'
import { mutatedHello, seededRandom, type MutationSource, type RandomInteger } from './hello-mutators.ts'
import { referenceParse, type ReferenceResult } from './reference-parser.ts'

/** What a run may leave on the heap, the compiler's and the caches' share included. */
const heapGrowthBytesMax = 8 * 1024 * 1024

const hostnames = ['acme.k8s.example.com', 'globex.k8s.example.com', '*.globex.k8s.example.com', 'public.k8s.example.com']
const snapshot = snapshotOf({ tenants: hostnames.map((hostname, index) => tenant(`t${index}`, [endpoint(31_000 + index)], { hostnames: [hostname] })) })
const listener = firstOf(snapshot.listeners.values())

const source: MutationSource = {
  handshakes: helloFixtureNames.map((name) => handshakeOf(readHelloFixture(name))),
  names: ['acme.k8s.example.com', 'globex.k8s.example.com', 'a.b.globex.k8s.example.com', 'public.k8s.example.com', 'initech.k8s.example.com'],
}

export interface FuzzReport {
  readonly seed: number
  readonly count: number
  readonly complete: number
  readonly refused: number
  readonly incomplete: number
  readonly dialed: number
  readonly heapBytesBefore: number
  readonly heapBytesAfter: number
}

/** @throws with the seed, the number and the bytes of the hello that was wrong */
export function fuzzHellos({ count, seed }: { readonly count: number; readonly seed: number }): FuzzReport {
  const random = seededRandom(seed)
  const kinds = { complete: 0, refused: 0, incomplete: 0 }
  let dialed = 0
  // What is compiled and cached by then is not growth.
  const warmUpHellos = Math.min(count, 5_000)
  let heapBytesBefore = 0
  for (let number = 0; number < count; number++) {
    if (number === warmUpHellos - 1) heapBytesBefore = heapBytes()
    const wire = mutatedHello(source, random)
    try {
      const expected = referenceParse(wire)
      kinds[expected.kind] += 1
      checkReader(wire, expected, random)
      checkWhole(wire, expected)
      if (checkConnection(wire, expected, random)) dialed += 1
    } catch (error) {
      throw new Error(`seed ${seed}, hello ${number}: ${wire.toString('hex')}`, { cause: error })
    }
  }
  return { seed, count, ...kinds, dialed, heapBytesBefore, heapBytesAfter: heapBytes() }
}

function checkReader(wire: Buffer, expected: ReferenceResult, random: RandomInteger): void {
  const reader = new ClientHelloReader()
  let progress: HelloProgress = { kind: 'incomplete' }
  for (const piece of cut(wire, random)) progress = reader.push(piece)
  switch (progress.kind) {
    case 'incomplete': deepStrictEqual(expected, progress); break
    case 'refused': deepStrictEqual(expected, { kind: 'refused', fault: progress.fault }); break
    case 'complete': {
      ok(expected.kind === 'complete', `complete, but the reference is ${JSON.stringify(expected)}`)
      const { kind: _kind, handshake, ...hello } = expected
      deepStrictEqual({ serverName: undefined, ...progress.hello }, hello)
      if (progress.hello.serverName !== undefined) {
        const extension = Buffer.concat([uint16(0), vector(2, serverNameBody(progress.hello.serverName))])
        ok(handshake.includes(extension), `${progress.hello.serverName} does not stand in the hello`)
      }
      break
    }
    default: progress satisfies never
  }
}

/** What is read at once is what is read piece by piece, or nothing. */
function checkWhole(wire: Buffer, expected: ReferenceResult): void {
  const whole = readWholeHello(wire)
  if (whole === undefined) return
  ok(expected.kind === 'complete', `read at once, but the reference is ${JSON.stringify(expected)}`)
  deepStrictEqual({ serverName: undefined, ...whole }, { serverName: expected.serverName, encryptedClientHello: expected.encryptedClientHello })
}

/** @returns whether a tenant was dialled: then its name was in the hello */
function checkConnection(wire: Buffer, expected: ReferenceResult, random: RandomInteger): boolean {
  const client = { address: '192.0.2.7', port: 40_000 }
  const connection = new Connection({ id: () => 'c1', number: 1, listener, downstream: client, local: () => client, acceptedAtMs: 0, nowMs: 0 }, snapshot)
  connection.start({ atConnectionLimit: false })
  const dialedPorts: number[] = []
  for (const bytes of cut(wire, random)) {
    for (const effect of connection.step({ kind: 'downstream-bytes', bytes, nowMs: 1 })) {
      if (effect.kind === 'dial') dialedPorts.push(effect.endpoint.port)
    }
  }
  const name = expected.kind === 'complete' ? expected.serverName?.toLowerCase().replace(/\.$/, '') : undefined
  const index = hostnames.findIndex((hostname) => hostname === name || (hostname.startsWith('*') && name?.endsWith(hostname.slice(1)) === true))
  const allowed = index === -1 ? [] : [31_000 + index]
  if (dialedPorts.length > 0 || index === hostnames.indexOf(name ?? '')) deepStrictEqual(dialedPorts, allowed)
  ok(expected.kind !== 'refused' || connection.ended, 'a refused hello leaves the connection open')
  return dialedPorts.length > 0
}

/** The same bytes in one piece, in a few, or each alone. */
function cut(bytes: Buffer, random: RandomInteger): Buffer[] {
  const pieceBytesMax = [bytes.length, 1 + random(bytes.length + 1), 1 + random(20), 1][random(4)] ?? 1
  const pieces: Buffer[] = []
  for (let offset = 0; offset < bytes.length;) {
    const end = offset + 1 + random(pieceBytesMax)
    pieces.push(bytes.subarray(offset, end))
    offset = end
  }
  return pieces
}

function heapBytes(): number {
  setFlagsFromString('--expose-gc')
  ;(runInNewContext('gc') as () => void)()
  return process.memoryUsage().heapUsed
}

function firstOf(policies: Iterable<ListenerPolicy>): ListenerPolicy {
  for (const policy of policies) return policy
  throw new Error('the snapshot has no listener')
}

if (import.meta.main) {
  const [count = '1000000', seed = String(Date.now() % 2 ** 31)] = process.argv.slice(2)
  const report = fuzzHellos({ count: Number(count), seed: Number(seed) })
  console.log(report)
  if (report.heapBytesAfter - report.heapBytesBefore > heapGrowthBytesMax) throw new Error('the heap has grown')
}
