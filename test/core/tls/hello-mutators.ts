// Breaks ClientHellos in the ways that reach deep: bytes anywhere, bytes inside a message whose records stay right, and
// whole extensions in a message whose lengths all stay right.

import { recordsOf, serverNameBody, splitIntoRecords, uint16, vector } from './hello-builder.ts'

/** 0 to `below` - 1. */
export type RandomInteger = (below: number) => number

/** The same numbers for the same seed (mulberry32). */
export function seededRandom(seed: number): RandomInteger {
  let state = seed
  return (below) => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return Math.floor((((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32) * below)
  }
}

export interface MutationSource {
  /** Handshake messages without records. */
  readonly handshakes: readonly Buffer[]
  /** Put where they do not belong, to be mistaken for the server's name. */
  readonly names: readonly string[]
}

export function mutatedHello(source: MutationSource, random: RandomInteger): Buffer {
  const message = random(3) === 0 ? pick(source.handshakes, random) : mutateExtensions(pick(source.handshakes, random), source, random)
  const records = recordsOf(repeat(message, random(3), (bytes) => mutateBytes(bytes, source, random)), recordBytes(message, random), 0x0300 + random(5))
  return repeat(records, random(3), (bytes) => mutateRecords(bytes, source, random))
}

function recordBytes(message: Buffer, random: RandomInteger): number {
  return random(2) === 0 ? 2 ** 14 : 1 + random(message.length + 1)
}

function repeat(bytes: Buffer, times: number, mutate: (bytes: Buffer) => Buffer): Buffer {
  let mutated = bytes
  for (let round = 0; round < times; round++) mutated = mutate(mutated)
  return mutated
}

function pick<Value>(values: readonly Value[], random: RandomInteger): Value {
  const value = values[random(values.length)]
  if (value === undefined) throw new RangeError('nothing to pick from')
  return value
}

/** Lengths, types and versions that stand at the edge of something. */
const edges = [0, 1, 2, 3, 5, 16, 21, 22, 23, 31, 32, 33, 41, 43, 63, 64, 127, 128, 253, 254, 255]

function mutateBytes(bytes: Buffer, source: MutationSource, random: RandomInteger): Buffer {
  const at = random(bytes.length + 1)
  const to = Math.min(bytes.length, at + random(40))
  switch (random(8)) {
    case 0: return replaced(bytes, at, at + 1, Buffer.from([random(256)]))
    case 1: return replaced(bytes, at, at + 1, Buffer.from([(bytes[at] ?? 0) ^ (1 << random(8))]))
    case 2: return replaced(bytes, at, at + 1, Buffer.from([pick(edges, random)]))
    case 3: return replaced(bytes, at, to, Buffer.alloc(0))
    case 4: return replaced(bytes, at, at, bytes.subarray(at, to))
    case 5: return replaced(bytes, at, at + (random(2) === 0 ? 0 : 20), Buffer.from(pick(source.names, random)))
    case 6: return bytes.subarray(0, at)
    default: return replaced(bytes, at, at + 1, Buffer.from([((bytes[at] ?? 0) + (random(2) === 0 ? 1 : 255)) & 0xff]))
  }
}

function mutateRecords(wire: Buffer, source: MutationSource, random: RandomInteger): Buffer {
  const at = random(wire.length + 1)
  switch (random(5)) {
    case 0: return replaced(wire, at, at, Buffer.from([20 + random(5), 3, random(5), 0, 2, 2, 40]))
    case 1: return replaced(wire, at, at, Buffer.from([22, 3, 3, 0, 0]))
    case 2: {
      // Half of one hello, the rest of another.
      const other = recordsOf(pick(source.handshakes, random), 2 ** 14, 0x0301)
      return Buffer.concat([wire.subarray(0, at), other.subarray(random(2) === 0 ? at : random(other.length))])
    }
    case 3: return Buffer.concat([wire, splitIntoRecords(recordsOf(pick(source.handshakes, random), 2 ** 14, 0x0303), 1 + random(2_000))])
    default: return mutateBytes(wire, source, random)
  }
}

interface Extension {
  readonly type: number
  readonly body: Buffer
}

/** Every length around the extensions is made right again. */
function mutateExtensions(handshake: Buffer, source: MutationSource, random: RandomInteger): Buffer {
  const extensionsAt = extensionsOffset(handshake)
  const extensions = extensionsIn(handshake.subarray(extensionsAt + 2))
  for (let rounds = random(4); rounds > 0; rounds--) mutateList(extensions, source, random)
  const block = Buffer.concat(extensions.map(({ type, body }) => Buffer.concat([uint16(type), vector(2, body)])))
  const body = Buffer.concat([handshake.subarray(4, extensionsAt), vector(2, block)])
  return Buffer.concat([handshake.subarray(0, 1), vector(3, body)])
}

function mutateList(extensions: Extension[], source: MutationSource, random: RandomInteger): void {
  const at = random(extensions.length + 1)
  const chosen = extensions[at] ?? { type: random(65_536), body: Buffer.alloc(random(300)) }
  switch (random(8)) {
    case 0: extensions.splice(at, 1); break
    case 1: extensions.splice(at, 0, chosen); break
    case 2: extensions.push(...extensions.splice(at, 1)); break
    case 3: extensions.splice(at, 1, { type: pick([0, 16, 41, 43, 0xfe0d, random(65_536)], random), body: chosen.body }); break
    case 4: extensions.splice(at, 1, { type: chosen.type, body: mutateBytes(chosen.body, source, random) }); break
    case 5: extensions.splice(random(extensions.length + 1), 0, { type: 0, body: serverNameBody(pick(source.names, random)) }); break
    case 6: {
      const index = extensions.findIndex(({ type }) => type === 0)
      if (index !== -1) extensions[index] = { type: 0, body: serverNameBody(...Array.from({ length: random(3) }, () => mutatedName(source, random))) }
      break
    }
    default: for (let count = random(150); count > 0; count--) extensions.push({ type: 0x1000 + random(20_000), body: Buffer.alloc(random(4)) })
  }
}

function mutatedName(source: MutationSource, random: RandomInteger): string {
  const name = pick(source.names, random)
  const at = random(name.length + 1)
  switch (random(5)) {
    case 0: return name.toUpperCase()
    case 1: return `${name}.`
    case 2: return `${name.slice(0, at)}${String.fromCharCode(random(256))}${name.slice(at + random(2))}`
    case 3: return `${name.slice(0, at)}.${name}`
    default: return name
  }
}

function extensionsOffset(handshake: Buffer): number {
  let offset = 4 + 2 + 32
  offset += 1 + handshake.readUInt8(offset)
  offset += 2 + handshake.readUInt16BE(offset)
  return offset + 1 + handshake.readUInt8(offset)
}

function extensionsIn(block: Buffer): Extension[] {
  const extensions: Extension[] = []
  for (let offset = 0; offset < block.length;) {
    const end = offset + 4 + block.readUInt16BE(offset + 2)
    extensions.push({ type: block.readUInt16BE(offset), body: block.subarray(offset + 4, end) })
    offset = end
  }
  return extensions
}

function replaced(bytes: Buffer, start: number, end: number, by: Buffer): Buffer {
  return Buffer.concat([bytes.subarray(0, start), by, bytes.subarray(Math.min(end, bytes.length))])
}
