// Builds ClientHellos for tests: a plausible one by default, and whatever is asked for, right or wrong.

export interface HelloOptions {
  readonly serverName?: string
  readonly alpn?: readonly string[]
  /** Extensions as they are, behind server_name and ALPN. */
  readonly extensions?: readonly { readonly type: number; readonly body: Uint8Array }[]
  /** Instead of an extensions block: none at all, as in the hellos of TLS 1.0. */
  readonly withoutExtensions?: boolean
  readonly sessionIdBytes?: number
  readonly cipherSuitesBytes?: number
  /** Fills a padding extension (RFC 7685) of so many bytes. */
  readonly paddingBytes?: number
  readonly recordVersion?: number
  readonly handshakeType?: number
}

/** One record, unless the hello is larger than a record may be. */
export function buildClientHello(options: HelloOptions): Buffer {
  return recordsOf(buildHandshake(options), 2 ** 14, options.recordVersion ?? 0x0301)
}

/** The handshake message without its record. */
export function buildHandshake(options: HelloOptions): Buffer {
  const { sessionIdBytes = 32, cipherSuitesBytes = 8, handshakeType = 1 } = options
  const body = Buffer.concat([
    Buffer.from([3, 3]), Buffer.alloc(32, 0xa5),
    vector(1, Buffer.alloc(sessionIdBytes, 0x5a)),
    vector(2, Buffer.alloc(cipherSuitesBytes, 0x13)),
    vector(1, Buffer.from([0])),
    options.withoutExtensions === true ? Buffer.alloc(0) : vector(2, extensionsOf(options)),
  ])
  return Buffer.concat([Buffer.from([handshakeType]), vector(3, body)])
}

function extensionsOf({ serverName, alpn, extensions = [], paddingBytes }: HelloOptions): Buffer {
  return Buffer.concat([
    ...(serverName === undefined ? [] : [extensionOf(0, serverNameBody(serverName))]),
    ...(alpn === undefined ? [] : [extensionOf(16, vector(2, Buffer.concat(alpn.map((name) => vector(1, Buffer.from(name, 'latin1'))))))]),
    extensionOf(43, vector(1, Buffer.from([3, 4, 3, 3]))),
    ...extensions.map(({ type, body }) => extensionOf(type, Buffer.from(body))),
    ...(paddingBytes === undefined ? [] : [extensionOf(21, Buffer.alloc(paddingBytes))]),
  ])
}

export function serverNameBody(...names: readonly string[]): Buffer {
  return vector(2, Buffer.concat(names.map((name) => Buffer.concat([Buffer.from([0]), vector(2, Buffer.from(name, 'latin1'))]))))
}

/** The same hello, its handshake bytes in records of `recordBytes` each. */
export function splitIntoRecords(hello: Uint8Array, recordBytes: number): Buffer {
  const fragments: Buffer[] = []
  const bytes = Buffer.from(hello)
  for (let offset = 0; offset < bytes.length;) {
    const length = bytes.readUInt16BE(offset + 3)
    fragments.push(bytes.subarray(offset + 5, offset + 5 + length))
    offset += 5 + length
  }
  return recordsOf(Buffer.concat(fragments), recordBytes, bytes.readUInt16BE(1))
}

function recordsOf(handshake: Buffer, recordBytes: number, version: number): Buffer {
  const records: Buffer[] = []
  for (let offset = 0; offset < handshake.length; offset += recordBytes) {
    records.push(Buffer.from([22, version >> 8, version & 0xff]), vector(2, handshake.subarray(offset, offset + recordBytes)))
  }
  return Buffer.concat(records)
}

function extensionOf(type: number, body: Buffer): Buffer {
  return Buffer.concat([Buffer.from([type >> 8, type & 0xff]), vector(2, body)])
}

/** A vector of TLS: its length in `lengthBytes` bytes, then its content (RFC 8446 §3.4). */
export function vector(lengthBytes: 1 | 2 | 3, content: Buffer): Buffer {
  const length = Buffer.alloc(lengthBytes)
  length.writeUIntBE(content.length, 0, lengthBytes)
  return Buffer.concat([length, content])
}
