// Reads the headers of the TLS records that a ClientHello comes in, byte by byte.
//
//   content type 1: handshake(22) | legacy_record_version 2: 3, any | length 2: 1 to 2^14        RFC 8446 §5.1
//
// The version means nothing: it MUST be ignored (RFC 8446 §5.1), and any {3, x} MUST be accepted, {3, 0} included
// (RFC 7568 §3). The 3 is what tells TLS from other bytes.

import { refused, type HelloRefusal } from './hello-fault.ts'

/**
 * A hello of usual size may come in records of one byte each; a large one may not. Together with `helloBytesMax` this
 * bounds what a client can send before it is routed: 16 KiB + 4,096 × 5 bytes (CVE-2026-32305 of Traefik was the lack of it).
 */
export const helloRecordsMax = 4_096
/** RFC 8446 §5.1. */
export const recordBytesMax = 2 ** 14

export const contentTypeHandshake = 22
export const versionMajor = 3

export class RecordHeaderReader {
  /** Of the headers that have been read whole. */
  #records = 0
  #headerBytes = 0
  #length = 0

  /** @returns the length of the fragment that follows; 0 until the header is whole */
  push(byte: number): number | HelloRefusal {
    switch (this.#headerBytes++) {
      case 0:
        if (byte === contentTypeHandshake) return 0
        return this.#records === 0
          ? refused('not-tls', `the first byte is 0x${byte.toString(16).padStart(2, '0')}, not a TLS handshake record`)
          : refused('malformed', `a record of content type ${byte} between the fragments of the hello`)
      case 1:
        return byte === versionMajor ? 0 : refused(this.#records === 0 ? 'not-tls' : 'malformed', `a record of major version ${byte}`)
      case 2:
        return 0
      case 3:
        this.#length = byte << 8
        return this.#length > recordBytesMax ? refused('too-large', `a record of over ${recordBytesMax} bytes`) : 0
      default:
        return this.#end(this.#length | byte)
    }
  }

  #end(length: number): number | HelloRefusal {
    this.#headerBytes = 0
    this.#records += 1
    if (length === 0) return refused('malformed', 'a handshake record without content')
    if (length > recordBytesMax) return refused('too-large', `a record of ${length} bytes; at most ${recordBytesMax} are allowed`)
    if (this.#records > helloRecordsMax) return refused('too-large', `the hello comes in over ${helloRecordsMax} records`)
    return length
  }
}
