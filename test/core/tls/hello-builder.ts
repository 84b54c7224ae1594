// Builds ClientHellos for tests: a plausible one by default, and whatever is asked for, right or wrong.

export interface HelloOptions {
  readonly serverName?: string
  readonly alpn?: readonly string[]
  /** @default [0x0304, 0x0303]; empty: no supported_versions */
  readonly supportedVersions?: readonly number[]
  /** As browsers do (RFC 8701): an empty extension first, one of a byte last, and a version, none of which exist. */
  readonly grease?: boolean
  /** encrypted_client_hello (RFC 9849) of the outer kind; what is sealed in it is zeros. */
  readonly encryptedClientHello?: boolean
  /** Extensions as they are, behind the others. */
  readonly extensions?: readonly { readonly type: number; readonly body: Uint8Array }[]
  /** Instead of an extensions block: none at all, as in the hellos of TLS 1.0. */
  readonly withoutExtensions?: boolean
  readonly sessionIdBytes?: number
  readonly cipherSuitesBytes?: number
  /** Fills a padding extension (RFC 7685) of so many bytes. */
  readonly paddingBytes?: number
  readonly legacyVersion?: number
  readonly recordVersion?: number
  readonly handshakeType?: number
}

/** One record, unless the hello is larger than a record may be. */
export function buildClientHello(options: HelloOptions): Buffer {
  return recordsOf(buildHandshake(options), 2 ** 14, options.recordVersion ?? 0x0301)
}

/** The handshake message without its record. */
export function buildHandshake(options: HelloOptions): Buffer {
  const { sessionIdBytes = 32, cipherSuitesBytes = 8, handshakeType = 1, legacyVersion = 0x0303 } = options
  const body = Buffer.concat([
    uint16(legacyVersion), Buffer.alloc(32, 0xa5),
    vector(1, Buffer.alloc(sessionIdBytes, 0x5a)),
    vector(2, Buffer.alloc(cipherSuitesBytes, 0x13)),
    vector(1, Buffer.from([0])),
    options.withoutExtensions === true ? Buffer.alloc(0) : vector(2, extensionsOf(options)),
  ])
  return Buffer.concat([Buffer.from([handshakeType]), vector(3, body)])
}

function extensionsOf(options: HelloOptions): Buffer {
  const { serverName, alpn, supportedVersions = [0x0304, 0x0303], grease = false, encryptedClientHello = false, extensions = [], paddingBytes } = options
  const versions = grease ? [greaseValue(2), ...supportedVersions] : supportedVersions
  return Buffer.concat([
    ...(grease ? [extensionOf(greaseValue(0), Buffer.alloc(0))] : []),
    ...(serverName === undefined ? [] : [extensionOf(0, serverNameBody(serverName))]),
    ...(alpn === undefined ? [] : [extensionOf(16, alpnBody(...alpn))]),
    ...(versions.length === 0 ? [] : [extensionOf(43, vector(1, Buffer.concat(versions.map(uint16))))]),
    ...(encryptedClientHello ? [extensionOf(0xfe0d, outerEncryptedClientHello())] : []),
    ...extensions.map(({ type, body }) => extensionOf(type, Buffer.from(body))),
    ...(paddingBytes === undefined ? [] : [extensionOf(21, Buffer.alloc(paddingBytes))]),
    ...(grease ? [extensionOf(greaseValue(1), Buffer.alloc(1))] : []),
  ])
}

/** The values that RFC 8701 §2 reserves, 0 to 15. */
function greaseValue(index: number): number {
  return (index << 12) | 0x0a00 | (index << 4) | 0x0a
}

/** RFC 9849 §5: outer(0) | HKDF-SHA256, AES-128-GCM | config_id | enc <2> | payload <2>. */
function outerEncryptedClientHello(): Buffer {
  return Buffer.concat([Buffer.from([0, 0, 1, 0, 1, 7]), vector(2, Buffer.alloc(32)), vector(2, Buffer.alloc(144))])
}

export function alpnBody(...protocols: readonly string[]): Buffer {
  return vector(2, Buffer.concat(protocols.map((protocol) => vector(1, Buffer.from(protocol, 'latin1')))))
}

export function serverNameBody(...names: readonly string[]): Buffer {
  return vector(2, Buffer.concat(names.map((name) => Buffer.concat([Buffer.from([0]), vector(2, Buffer.from(name, 'latin1'))]))))
}

/** The same hello, its handshake bytes in records of `recordBytes` each. */
export function splitIntoRecords(hello: Uint8Array, recordBytes: number): Buffer {
  return recordsOf(handshakeOf(hello), recordBytes, Buffer.from(hello).readUInt16BE(1))
}

/** The handshake message without its records. */
export function handshakeOf(hello: Uint8Array): Buffer {
  const fragments: Buffer[] = []
  const bytes = Buffer.from(hello)
  for (let offset = 0; offset < bytes.length;) {
    const length = bytes.readUInt16BE(offset + 3)
    fragments.push(bytes.subarray(offset + 5, offset + 5 + length))
    offset += 5 + length
  }
  return Buffer.concat(fragments)
}

/** A handshake message in records of at most `recordBytes` each. */
export function recordsOf(handshake: Buffer, recordBytes: number, version: number): Buffer {
  const records: Buffer[] = []
  for (let offset = 0; offset < handshake.length; offset += recordBytes) {
    records.push(Buffer.from([22]), uint16(version), vector(2, handshake.subarray(offset, offset + recordBytes)))
  }
  return Buffer.concat(records)
}

function extensionOf(type: number, body: Buffer): Buffer {
  return Buffer.concat([uint16(type), vector(2, body)])
}

/** A vector of TLS: its length in `lengthBytes` bytes, then its content (RFC 8446 §3.4). */
export function vector(lengthBytes: 1 | 2 | 3, content: Buffer): Buffer {
  const length = Buffer.alloc(lengthBytes)
  length.writeUIntBE(content.length, 0, lengthBytes)
  return Buffer.concat([length, content])
}

export function uint16(value: number): Buffer {
  return Buffer.from([value >> 8, value & 0xff])
}
