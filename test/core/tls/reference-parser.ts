// A second reader of ClientHellos, to judge the first by: from a whole buffer, slowly, in the order of the RFC's text.
//
//   struct { ProtocolVersion legacy_version; Random random; opaque session_id<0..32>; CipherSuite cipher_suites<2..2^16-2>;
//            opaque compression_methods<1..2^8-1>; Extension extensions<8..2^16-1>; } ClientHello         RFC 8446 §4.1.2
//
// It shares no code with what it judges, limits included.

export type ReferenceResult =
  | { readonly kind: 'incomplete' }
  | { readonly kind: 'refused'; readonly fault: string }
  | {
      readonly kind: 'complete'
      readonly serverName: string | undefined
      readonly alpnProtocols: readonly string[]
      readonly supportedVersions: readonly number[]
      readonly legacyVersion: number
      readonly encryptedClientHello: boolean
      /** The handshake message, without records. */
      readonly handshake: Buffer
    }

/** Why reading stopped before the message's end. */
type Stop = 'incomplete' | 'not-tls' | 'malformed' | 'too-large'

class Stopped extends Error {
  readonly stop: Stop

  constructor(stop: Stop) {
    super(stop)
    this.stop = stop
  }
}

/** A cursor over bytes; what lies behind its end is answered with `beyond`. */
class Cursor {
  readonly #bytes: Buffer
  readonly #beyond: Stop
  #offset = 0

  constructor(bytes: Buffer, beyond: Stop) {
    this.#bytes = bytes
    this.#beyond = beyond
  }

  get left(): number {
    return this.#bytes.length - this.#offset
  }

  get offset(): number {
    return this.#offset
  }

  take(length: number): Buffer {
    if (length > this.left) throw new Stopped(this.#beyond)
    this.#offset += length
    return this.#bytes.subarray(this.#offset - length, this.#offset)
  }

  number(width: number): number {
    return this.take(width).readUIntBE(0, width)
  }
}

export function referenceParse(wire: Uint8Array): ReferenceResult {
  const { bytes, stop } = withoutRecords(Buffer.from(wire))
  try {
    return parseMessage(bytes, new Cursor(bytes, stop))
  } catch (error) {
    if (!(error instanceof Stopped)) throw error
    return error.stop === 'incomplete' ? { kind: 'incomplete' } : { kind: 'refused', fault: error.stop }
  }
}

/** The fragments of every record, one behind the other, up to where a record is cut or wrong. */
function withoutRecords(wire: Buffer): { readonly bytes: Buffer; readonly stop: Stop } {
  const fragments: Buffer[] = []
  for (let offset = 0; ;) {
    const header = wire.subarray(offset, offset + 5)
    const stop = headerFault(header, fragments.length)
    if (stop !== undefined) return { bytes: Buffer.concat(fragments), stop }
    const fragment = wire.subarray(offset + 5, offset + 5 + header.readUInt16BE(3))
    fragments.push(fragment)
    offset += 5 + header.readUInt16BE(3)
  }
}

function headerFault(header: Buffer, recordsBefore: number): Stop | undefined {
  const [type, major, , high] = header
  if (type === undefined) return 'incomplete'
  if (type !== 22) return recordsBefore === 0 ? 'not-tls' : 'malformed'
  if (major === undefined) return 'incomplete'
  if (major !== 3) return recordsBefore === 0 ? 'not-tls' : 'malformed'
  if (high === undefined) return 'incomplete'
  if (high > 0x40) return 'too-large'
  if (header.length < 5) return 'incomplete'
  const length = header.readUInt16BE(3)
  if (length === 0) return 'malformed'
  return length > 16_384 || recordsBefore >= 4_096 ? 'too-large' : undefined
}

function parseMessage(bytes: Buffer, message: Cursor): ReferenceResult {
  assert(message.number(1) === 1)
  const end = message.number(3) + 4
  if (end > 16_384 + 4) throw new Stopped('too-large')
  assert(end > 4)
  // Lengths are judged by what the message still has room for, before its bytes are there.
  const room = (): number => end - message.offset
  const field = (width: number): number => {
    const bytes = message.take(Math.min(width, room()))
    assert(bytes.length === width)
    return bytes.readUIntBE(0, width)
  }
  const skip = (length: number): Buffer => {
    assert(length <= room())
    return message.take(length)
  }
  const legacyVersion = field(2)
  assert(legacyVersion >= 0x0300 && legacyVersion <= 0x03ff)
  skip(32)
  const sessionIdLength = field(1)
  assert(sessionIdLength <= 32)
  skip(sessionIdLength)
  const cipherSuitesLength = field(2)
  assert(cipherSuitesLength >= 2 && cipherSuitesLength % 2 === 0)
  skip(cipherSuitesLength)
  const compressionLength = field(1)
  assert(compressionLength >= 1)
  skip(compressionLength)
  const extensions = new Map<number, Buffer>()
  if (room() > 0) {
    assert(field(2) === room())
    while (room() > 0) {
      const type = field(2)
      assert(!extensions.has(type) && !extensions.has(41))
      if (extensions.size >= 128) throw new Stopped('too-large')
      const length = field(2)
      const isRead = type === 0 || type === 16 || type === 43
      if (isRead && length > 2_048) throw new Stopped('too-large')
      assert(!isRead || length > 0)
      extensions.set(type, skip(length))
      // At once, because a fault in a body comes before one in what follows.
      if (type === 0) serverNameOf(extensions.get(0))
      if (type === 16) alpnOf(extensions.get(16))
      if (type === 43) versionsOf(extensions.get(43))
    }
  }
  return {
    kind: 'complete',
    serverName: serverNameOf(extensions.get(0)),
    alpnProtocols: alpnOf(extensions.get(16)),
    supportedVersions: versionsOf(extensions.get(43)),
    legacyVersion,
    encryptedClientHello: extensions.has(0xfe0d),
    handshake: bytes.subarray(0, end),
  }
}

function assert(condition: boolean): void {
  if (!condition) throw new Stopped('malformed')
}

/** RFC 6066 §3: struct { NameType name_type; opaque HostName<1..2^16-1>; } ServerName; ServerName list<1..2^16-1>. */
function serverNameOf(body: Buffer | undefined): string | undefined {
  if (body === undefined) return undefined
  const cursor = new Cursor(body, 'malformed')
  assert(cursor.number(2) === cursor.left)
  assert(cursor.number(1) === 0)
  const name = cursor.take(cursor.number(2))
  assert(name.length > 0 && cursor.left === 0)
  return name.toString('latin1')
}

/** RFC 7301 §3.1: opaque ProtocolName<1..2^8-1>; ProtocolName list<2..2^16-1>. */
function alpnOf(body: Buffer | undefined): readonly string[] {
  if (body === undefined) return []
  const cursor = new Cursor(body, 'malformed')
  assert(cursor.number(2) === cursor.left && cursor.left >= 2)
  const protocols: string[] = []
  while (cursor.left > 0) {
    const protocol = cursor.take(cursor.number(1))
    assert(protocol.length > 0)
    if (protocols.length >= 64) throw new Stopped('too-large')
    protocols.push(protocol.toString('latin1'))
  }
  return protocols
}

/** RFC 8446 §4.2.1: ProtocolVersion versions<2..254>. */
function versionsOf(body: Buffer | undefined): readonly number[] {
  if (body === undefined) return []
  const cursor = new Cursor(body, 'malformed')
  const length = cursor.number(1)
  assert(length === cursor.left && length >= 2 && length % 2 === 0)
  return Array.from({ length: length / 2 }, () => cursor.number(2))
}
