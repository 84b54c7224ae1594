// The program that throws SYNs away, by a reader of classic BPF and by the kernel's own.

import { test } from '../../support/linux-only.ts'
import fc from 'fast-check'
import { droppedSourcesMax } from '../../../src/core/limit/source-drops.ts'
import { SourceKey } from '../../../src/core/net/source-key.ts'
import * as libc from '../../../src/relay/linux/libc.ts'
import { sourceFilter } from '../../../src/relay/linux/source-filter.ts'

const instructionsMax = 4_096
const flags = { fin: 0x01, syn: 0x02, reset: 0x04, ack: 0x10 }

interface Packet {
  readonly protocol: number
  /** Of the network header on. */
  readonly network: Uint8Array
  /** Of the TCP header on. */
  readonly segment: Uint8Array
}

/** Answers what a program returns: what net/core/filter.c does with these few opcodes. */
function run(program: Uint8Array, { protocol, network, segment }: Packet): number {
  const view = new DataView(program.buffer, program.byteOffset, program.byteLength)
  let accumulator = 0
  for (let at = 0; at * 8 < program.length;) {
    const [code, ifTrue, ifFalse, operand] = [view.getUint16(8 * at, true), view.getUint8(8 * at + 2), view.getUint8(8 * at + 3), view.getInt32(8 * at + 4, true)]
    at += 1
    switch (code) {
      case 0x30: accumulator = segment[operand] ?? 0; break
      case 0x20: accumulator = operand === -0x1000 ? protocol : new DataView(network.buffer, network.byteOffset).getUint32(operand + 0x100000); break
      case 0x54: accumulator = (accumulator & operand) >>> 0; break
      case 0x05: at += operand; break
      case 0x15: at += accumulator === operand >>> 0 ? ifTrue : ifFalse; break
      case 0x35: at += accumulator >= operand >>> 0 ? ifTrue : ifFalse; break
      case 0x06: return operand
      default: throw new Error(`opcode ${code}`)
    }
  }
  throw new Error('it ends without a return')
}

function segmentWith(its: number): Uint8Array {
  const segment = new Uint8Array(20)
  segment[13] = its
  return segment
}

function packetFrom(address: Uint8Array, its = flags.syn): Packet {
  const network = new Uint8Array(40)
  network.set(address, address.length === 4 ? 12 : 8)
  return { protocol: address.length === 4 ? 0x0800 : 0x86dd, network, segment: segmentWith(its) }
}

function keyOf(address: Uint8Array): SourceKey {
  const mapped = new Uint8Array(16)
  mapped.set(address)
  if (address.length === 4) mapped.set([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, ...address])
  return new SourceKey().setBytes(mapped)
}

const nameOf = ({ isIpv6, high, low }: SourceKey): string => `${isIpv6} ${high} ${low}`
const bytes = (length: number): fc.Arbitrary<Uint8Array> => fc.uint8Array({ minLength: length, maxLength: length })
/** Some that are alike, so that one of them tells much of the others. */
const ipv4 = fc.oneof(bytes(4), fc.integer({ min: 0, max: 255 }).map((last) => Uint8Array.of(127, 0, 0, last)))
const ipv6 = fc.oneof(bytes(16), fc.tuple(fc.integer({ min: 0, max: 3 }), fc.integer({ min: 0, max: 255 })).map(([high, low]) => Uint8Array.of(0x20, 1, 0xd, high, 0, 0, 0, low, 0, 0, 0, 0, 0, 0, 0, 1)))
const address = fc.oneof(ipv4, ipv6)

void test('it throws away the SYNs of its sources, and of nobody else', async () => {
  fc.assert(fc.property(fc.array(address, { maxLength: droppedSourcesMax }), fc.array(address, { maxLength: 50 }), (dropped, others) => {
    const sources = new Map(dropped.map((each) => [nameOf(keyOf(each)), keyOf(each)]))
    const program = sourceFilter([...sources.values()])
    return program.length / 8 <= instructionsMax
      && dropped.every((each) => run(program, packetFrom(each)) === 0)
      && others.every((each) => (run(program, packetFrom(each)) === 0) === sources.has(nameOf(keyOf(each))))
  }))
})

void test('whatever is not the first packet of a connection is passed on whole', async (t) => {
  const source = Uint8Array.of(192, 0, 2, 1)
  const program = sourceFilter([keyOf(source)])
  t.equal(run(program, packetFrom(source)), 0)
  // With ECN (RFC 3168 §6.1.1).
  t.equal(run(program, packetFrom(source, flags.syn | 0xc0)), 0)
  for (const its of [flags.ack, flags.syn | flags.ack, flags.fin | flags.ack, flags.reset, 0]) t.equal(run(program, packetFrom(source, its)), -1)
  t.equal(run(program, { ...packetFrom(source), protocol: 0x0806 }), -1)
})

for (const [what, addresses] of [
  ['IPv4 addresses', Array.from({ length: droppedSourcesMax }, (_, index) => Uint8Array.of(203, index * 37 & 255, index, 1 + index * 91 & 255))],
  ['networks of IPv6', Array.from({ length: droppedSourcesMax }, (_, index) => Uint8Array.of(0xfd, index * 37 & 255, index, 1, 0, 0, index * 91 & 255, 1, 0, 0, 0, 0, 0, 0, 0, 1))],
  ['networks of one customer’s', Array.from({ length: droppedSourcesMax }, (_, index) => Uint8Array.of(0x20, 1, 0xd, 0xb8, 0, 0, 0, index, 0, 0, 0, 0, 0, 0, 0, 1))],
] as const) {
  void test(`the kernel takes as many ${what} as there can be`, async (t) => {
    const program = sourceFilter(addresses.map(keyOf))
    const fd = libc.check(libc.socket(libc.AF_INET, libc.SOCK_STREAM | libc.SOCK_CLOEXEC, 0), 'socket')
    t.teardown(() => libc.close(fd))
    t.ok(program.length / 8 < instructionsMax / 2)
    t.equal(libc.attachFilter(fd, program), 0)
    t.ok(addresses.every((each) => run(program, packetFrom(each)) === 0))
    libc.detachFilter(fd)
  })
}
