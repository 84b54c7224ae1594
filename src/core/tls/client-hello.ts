// Reads a ClientHello as its bytes come, however they are cut, and tells the name that the client asks for.
//
//   record (RFC 8446 §5.1)      22 | version 2 | length 2 | fragment …          repeated
//   handshake (§4)              1  | length 3  | ClientHello …                  spread over the fragments
//   ClientHello (§4.1.2)        version 2 | random 32 | session_id <0..32> | cipher_suites <2..> | compression <1..> | extensions <0..>
//   extension (§4.2)            type 2 | length 2 | body
//
// Each byte is looked at once and none is kept, but for the bodies of the few extensions that are read. The caller keeps
// what it has to forward. Nothing here throws, and what breaks the RFC is refused as soon as a length or a body shows it.
// Refused is what two parsers could read differently; what a server has to judge (versions, ciphers) is left to it.

import { parseAlpn, parseServerName, parseSupportedVersions } from './hello-extensions.ts'
import { refused, type HelloFault, type HelloRefusal } from './hello-fault.ts'
import { RecordHeaderReader } from './record-header.ts'

export type { HelloFault }

/** A handshake message over this is refused at its header. The largest seen in practice, with ML-KEM and ECH, are below 3 KiB. */
export const helloBytesMax = 16 * 1024
/** Clients send some twenty. */
export const extensionsMax = 128
/** Of an extension that we read. A hostname has at most 253 bytes, an ALPN list some dozen names. */
export const extensionBodyBytesMax = 2_048

export interface ClientHello {
  /** The host_name of server_name, one character a byte, as it was sent; absent when the hello has none. */
  readonly serverName?: string
  /** One character a byte; empty when not sent. */
  readonly alpnProtocols: readonly string[]
  /** 0x0304 is TLS 1.3; includes GREASE values (RFC 8701); empty when not sent, as before TLS 1.3. */
  readonly supportedVersions: readonly number[]
  readonly legacyVersion: number
  /** An encrypted_client_hello extension was there (RFC 9849): a real one or GREASE, which look alike. */
  readonly encryptedClientHello: boolean
}

export type HelloProgress =
  | { readonly kind: 'incomplete' }
  | { readonly kind: 'complete'; readonly hello: ClientHello }
  | HelloRefusal

export const handshakeTypeClientHello = 1
export const sessionIdBytesMax = 32
export const randomBytes = 32

export const extension = { serverName: 0, alpn: 16, preSharedKey: 41, supportedVersions: 43, encryptedClientHello: 0xfe0d } as const

const incomplete: HelloProgress = { kind: 'incomplete' }

/** The numbers of the handshake message, in their order; each has a fixed width in bytes. */
const widths = {
  'message-type': 1, 'message-length': 3, 'legacy-version': 2, 'session-id-length': 1, 'cipher-suites-length': 2,
  'compression-length': 1, 'extensions-length': 2, 'extension-type': 2, 'extension-length': 2,
} as const
type Field = keyof typeof widths

export class ClientHelloReader {
  #result: HelloProgress | undefined

  // The record layer. `#recordLeft`: bytes of the fragment still to come; 0 while a header is being read.
  readonly #recordHeader = new RecordHeaderReader()
  #recordLeft = 0

  // The handshake layer. `#messageLeft`: bytes of the message still to come, known after its header.
  #field: Field = 'message-type'
  #fieldBytes = 0
  #value = 0
  #skip = 0
  #messageLeft = Infinity

  #legacyVersion = 0
  #extensionType = 0
  #extensionTypes: number[] = []
  /** What is passed over is an extension's that is read. */
  #keeps = false
  #body: Uint8Array | undefined
  #bodyBytes = 0
  #afterSkip: Field = 'message-type'

  #serverName: string | undefined
  #alpnProtocols: readonly string[] = []
  #supportedVersions: readonly number[] = []
  #encryptedClientHello = false

  /** The same answer for ever once it is not `incomplete`. Bytes behind the hello are not looked at. */
  push(bytes: Uint8Array): HelloProgress {
    let offset = 0
    while (offset < bytes.byteLength && this.#result === undefined) {
      if (this.#recordLeft === 0) {
        const read = this.#recordHeader.push(bytes[offset] ?? 0)
        if (typeof read === 'number') this.#recordLeft = read
        else this.#result = read
        offset += 1
      } else {
        const end = Math.min(bytes.byteLength, offset + this.#recordLeft)
        this.#recordLeft -= end - offset
        this.#result = this.#readFragment(bytes, offset, end)
        offset = end
      }
    }
    return this.#result ?? incomplete
  }

  #readFragment(bytes: Uint8Array, start: number, end: number): HelloProgress | undefined {
    let offset = start
    while (offset < end) {
      if (this.#skip > 0) {
        const length = Math.min(this.#skip, end - offset)
        this.#take(bytes, offset, length)
        offset += length
        if (this.#skip > 0) return undefined
        const fault = this.#afterBody()
        if (fault !== undefined) return fault
      } else {
        const fault = this.#fieldByte(bytes[offset] ?? 0)
        offset += 1
        if (fault !== undefined) return fault
      }
      if (this.#messageLeft === 0 && this.#skip === 0) return this.#end()
    }
    return undefined
  }

  /** Passes over bytes, keeping them where they are an extension's that is read. */
  #take(bytes: Uint8Array, offset: number, length: number): void {
    if (this.#keeps) this.#keep(bytes.subarray(offset, offset + length))
    this.#skip -= length
    this.#messageLeft -= length
  }

  /** Nearly always a body is whole, and nothing is copied. */
  #keep(piece: Uint8Array): void {
    if (this.#body === undefined && piece.byteLength === this.#skip) {
      this.#body = piece
      return
    }
    this.#body ??= new Uint8Array(this.#skip)
    this.#body.set(piece, this.#bodyBytes)
    this.#bodyBytes += piece.byteLength
  }

  #fieldByte(byte: number): HelloRefusal | undefined {
    this.#messageLeft -= 1
    this.#value = (this.#value << 8) | byte
    this.#fieldBytes += 1
    if (this.#fieldBytes < widths[this.#field]) return undefined
    const value = this.#value
    this.#value = 0
    this.#fieldBytes = 0
    return this.#readField(value)
  }

  #readField(value: number): HelloRefusal | undefined {
    switch (this.#field) {
      case 'message-type':
        this.#field = 'message-length'
        return value === handshakeTypeClientHello ? undefined : refused('malformed', `a handshake message of type ${value} instead of a ClientHello`)
      case 'message-length':
        if (value > helloBytesMax) return refused('too-large', `a hello of ${value} bytes; at most ${helloBytesMax} are allowed`)
        this.#messageLeft = value
        this.#field = 'legacy-version'
        return value === 0 ? refused('malformed', 'an empty hello') : undefined
      case 'legacy-version':
        this.#legacyVersion = value
        if (value >> 8 !== 3) return refused('malformed', `client version 0x${value.toString(16).padStart(4, '0')}`)
        return this.#skipThen(randomBytes, 'session-id-length', 'random')
      case 'session-id-length':
        if (value > sessionIdBytesMax) return refused('malformed', `a session_id of ${value} bytes; at most ${sessionIdBytesMax} are allowed`)
        return this.#skipThen(value, 'cipher-suites-length', 'session_id')
      case 'cipher-suites-length':
        if (value < 2 || value % 2 !== 0) return refused('malformed', `cipher_suites of ${value} bytes`)
        return this.#skipThen(value, 'compression-length', 'cipher_suites')
      case 'compression-length':
        if (value === 0) return refused('malformed', 'no compression methods')
        return this.#skipThen(value, 'extensions-length', 'compression methods')
      case 'extensions-length':
        this.#field = 'extension-type'
        return value === this.#messageLeft ? undefined : refused('malformed', `extensions of ${value} bytes, but ${this.#messageLeft} follow`)
      case 'extension-type':
        return this.#readExtensionType(value)
      case 'extension-length':
        return this.#readExtensionLength(value)
      default:
        return this.#field satisfies never
    }
  }

  #readExtensionType(type: number): HelloRefusal | undefined {
    this.#field = 'extension-length'
    // RFC 8446 §4.2: not two of one type; §4.2.11: pre_shared_key is the last one.
    if (this.#extensionTypes.includes(type)) return refused('malformed', `two extensions of type ${type}`)
    if (this.#extensionTypes.at(-1) === extension.preSharedKey) return refused('malformed', 'an extension behind pre_shared_key')
    if (this.#extensionTypes.length === extensionsMax) return refused('too-large', `over ${extensionsMax} extensions`)
    this.#extensionTypes.push(type)
    this.#extensionType = type
    return undefined
  }

  #readExtensionLength(length: number): HelloRefusal | undefined {
    const type = this.#extensionType
    if (type === extension.encryptedClientHello) this.#encryptedClientHello = true
    if (type === extension.serverName || type === extension.alpn || type === extension.supportedVersions) {
      if (length > extensionBodyBytesMax) return refused('too-large', `extension ${type} has ${length} bytes; at most ${extensionBodyBytesMax} are allowed`)
      if (length === 0) return refused('malformed', `extension ${type} is empty`)
      this.#keeps = true
    }
    return this.#skipThen(length, 'extension-type', `extension ${type}`)
  }

  #skipThen(length: number, next: Field, what: string): HelloRefusal | undefined {
    if (length > this.#messageLeft) return refused('malformed', `${what} of ${length} bytes, but the hello has only ${this.#messageLeft} more`)
    this.#skip = length
    this.#afterSkip = next
    if (length === 0) this.#field = next
    return undefined
  }

  #afterBody(): HelloRefusal | undefined {
    this.#field = this.#afterSkip
    const body = this.#body
    if (body === undefined) return undefined
    this.#keeps = false
    this.#body = undefined
    this.#bodyBytes = 0
    return this.#readBody(body)
  }

  #readBody(body: Uint8Array): HelloRefusal | undefined {
    switch (this.#extensionType) {
      case extension.serverName: {
        const parsed = parseServerName(body)
        if (parsed.kind === 'refused') return parsed
        this.#serverName = parsed.value
        return undefined
      }
      case extension.alpn: {
        const parsed = parseAlpn(body)
        if (parsed.kind === 'refused') return parsed
        this.#alpnProtocols = parsed.value
        return undefined
      }
      default: {
        const parsed = parseSupportedVersions(body)
        if (parsed.kind === 'refused') return parsed
        this.#supportedVersions = parsed.value
        return undefined
      }
    }
  }

  /** The message has no byte left: whole where an extension, or the whole block of them, could begin. */
  #end(): HelloProgress {
    const whole = this.#fieldBytes === 0 && (this.#field === 'extensions-length' || this.#field === 'extension-type')
    if (!whole) return refused('malformed', `the hello ends before its ${this.#field}`)
    return {
      kind: 'complete',
      hello: {
        ...(this.#serverName === undefined ? {} : { serverName: this.#serverName }),
        alpnProtocols: this.#alpnProtocols,
        supportedVersions: this.#supportedVersions,
        legacyVersion: this.#legacyVersion,
        encryptedClientHello: this.#encryptedClientHello,
      },
    }
  }
}
