// Reads a PROXY protocol header as its bytes come, in fragments or with the client's first bytes behind it.
//
// Which version it is shows in the first byte; the rest of the signature is compared as it arrives, and version 2's fixed
// part is judged when it is whole, so that what is no header is refused without waiting for more (§2: "as soon as
// possible"). Whether there is a header at all is never guessed (§2: "MUST not try to guess").

import { proxyHeaderBytesMax, refusedHeader, type DecodedProxyHeader, type ProxyHeader, type RefusedHeader } from './header.ts'
import { decodeV1, v1HeaderBytesMax } from './v1.ts'
import { decodeV2, decodeV2FixedPart, v2FixedBytes, v2Signature } from './v2.ts'

export type ProxyHeaderProgress =
  | { readonly kind: 'incomplete' }
  /** `consumedBytes`: how many bytes of the last chunk belong to the header. */
  | { readonly kind: 'complete'; readonly header: ProxyHeader; readonly consumedBytes: number }
  | RefusedHeader

const v1Signature = Uint8Array.from('PROXY ', (character) => character.charCodeAt(0))
const carriageReturn = 0x0d
const lineFeed = 0x0a
const firstBlockBytes = 256

export class ProxyHeaderReader {
  #block = new Uint8Array(firstBlockBytes)
  #byteLength = 0
  #signature: Uint8Array = v1Signature
  /** Of v2, once its length field has come. */
  #wholeBytes = Infinity
  #ended: ProxyHeaderProgress | undefined

  /** The same answer for ever once it is not `incomplete`. */
  push(bytes: Uint8Array): ProxyHeaderProgress {
    if (this.#ended !== undefined) return this.#ended
    for (let index = 0; index < bytes.byteLength; index++) {
      const decoded = this.#byte(bytes[index] ?? 0)
      if (decoded === undefined) continue
      this.#ended = decoded.kind === 'header' ? { kind: 'complete', header: decoded.header, consumedBytes: index + 1 } : decoded
      return this.#ended
    }
    return { kind: 'incomplete' }
  }

  #byte(byte: number): DecodedProxyHeader | undefined {
    const at = this.#byteLength
    if (at === 0 && byte === v2Signature[0]) this.#signature = v2Signature
    if (at < this.#signature.byteLength && byte !== this.#signature[at]) return refusedHeader('no PROXY protocol header')
    this.#append(byte)
    return this.#signature === v1Signature ? this.#v1Byte(byte) : this.#v2Byte()
  }

  #v1Byte(byte: number): DecodedProxyHeader | undefined {
    const previous = this.#block[this.#byteLength - 2]
    if (byte === lineFeed) {
      if (previous !== carriageReturn) return refusedHeader('a line feed without a carriage return before it')
      return decodeV1(String.fromCharCode(...this.#block.subarray(0, this.#byteLength - 2)))
    }
    if (previous === carriageReturn) return refusedHeader('a carriage return without a line feed behind it')
    if (this.#byteLength === v1HeaderBytesMax) return refusedHeader(`no end of line in ${v1HeaderBytesMax} bytes`)
    return undefined
  }

  #v2Byte(): DecodedProxyHeader | undefined {
    if (this.#byteLength === v2FixedBytes) {
      const fixed = decodeV2FixedPart(this.#block)
      if (fixed.kind === 'refused') return fixed
      this.#wholeBytes = fixed.wholeBytes
      if (this.#wholeBytes > proxyHeaderBytesMax) {
        return refusedHeader(`a header of ${this.#wholeBytes} bytes; at most ${proxyHeaderBytesMax} are allowed`)
      }
    }
    if (this.#byteLength < this.#wholeBytes) return undefined
    return decodeV2(this.#block.subarray(0, this.#byteLength))
  }

  #append(byte: number): void {
    if (this.#byteLength === this.#block.byteLength) {
      const grown = new Uint8Array(2 * this.#block.byteLength)
      grown.set(this.#block)
      this.#block = grown
    }
    this.#block[this.#byteLength] = byte
    this.#byteLength += 1
  }
}
