// A line of JSON that is put together as bytes, in memory that is used again for the next one: as text it would be a tree of
// some forty pieces, each of them garbage, which is flattened and encoded once it is whole. What is the same in every line is
// copied eight bytes at a time.

const quote = 0x22
const backslash = 0x5c
const zero = 0x30
const [firstPrintable, lastPrintable] = [0x20, 0x7e]
/** UTF-8, of one UTF-16 unit. */
const bytesPerUnitMax = 3
/** Digits that 32-bit arithmetic does at once. */
const lowDigits = 9
/** By digits: the least number that has one more. */
const powers = Array.from({ length: lowDigits + 1 }, (_, digits) => 10 ** digits)
const low = 10 ** lowDigits
const wordBytes = 8
/** Read and written in the same order. */
const littleEndian = true
const encoder = new TextEncoder()

/** Text that stands in many lines. */
export class Literal {
  readonly byteLength: number
  /** Eight bytes each, with zeros behind the last. No ASCII is a NaN, so none is another number where it is written. */
  readonly words: Float64Array

  /** @param text of ASCII */
  constructor(text: string) {
    const bytes = new Uint8Array(Math.ceil(text.length / wordBytes) * wordBytes)
    encoder.encodeInto(text, bytes)
    const view = new DataView(bytes.buffer)
    this.byteLength = text.length
    this.words = Float64Array.from({ length: bytes.length / wordBytes }, (_, index) => view.getFloat64(index * wordBytes, littleEndian))
  }
}

export class JsonLine {
  #bytes = new Uint8Array(2_048)
  #view = new DataView(this.#bytes.buffer)
  #length = 0

  clear(): void {
    this.#length = 0
  }

  /** @returns what was put in since `clear`; good until the next call */
  get bytes(): Uint8Array {
    return this.#bytes.subarray(0, this.#length)
  }

  literal({ words, byteLength }: Literal): void {
    this.#reserve(byteLength + wordBytes)
    const target = this.#view
    const at = this.#length
    for (let index = 0; index < words.length; index++) target.setFloat64(at + index * wordBytes, words[index] ?? 0, littleEndian)
    this.#length = at + byteLength
  }

  /** @param text of ASCII */
  ascii(text: string): void {
    this.#reserve(text.length)
    const target = this.#bytes
    const at = this.#length
    const { length } = text
    for (let index = 0; index < length; index++) target[at + index] = text.charCodeAt(index)
    this.#length = at + length
  }

  /** As JSON.stringify writes it. */
  quoted(text: string): void {
    if (this.quotedIfPlain(text)) return
    const json = JSON.stringify(text)
    this.#reserve(bytesPerUnitMax * json.length)
    this.#length += encoder.encodeInto(json, this.#bytes.subarray(this.#length)).written
  }

  /** @returns false, with nothing put in: JSON would not have it as it is, or it is more than ASCII */
  quotedIfPlain(text: string): boolean {
    this.#reserve(text.length + 2)
    const target = this.#bytes
    const at = this.#length + 1
    const { length } = text
    target[at - 1] = quote
    for (let index = 0; index < length; index++) {
      const code = text.charCodeAt(index)
      if (code < firstPrintable || code > lastPrintable || code === quote || code === backslash) return false
      target[at + index] = code
    }
    target[at + length] = quote
    this.#length = at + length + 1
    return true
  }

  /** As `String` writes it. */
  number(value: number): void {
    if (!Number.isSafeInteger(value) || value < 0) this.ascii(String(value))
    else if (value < low) this.padded(value, 1)
    else {
      this.number(Math.floor(value / low))
      this.padded(value % low, lowDigits)
    }
  }

  /** With zeros before it where it has fewer digits. @param value an integer, at least 0 and below `low` */
  padded(value: number, digitsMin: number): void {
    let digits = digitsMin
    while (value >= (powers[digits] ?? Infinity)) digits += 1
    this.#reserve(digits)
    const target = this.#bytes
    let rest = value | 0
    for (let at = this.#length + digits - 1; at >= this.#length; at--) {
      const tenth = rest / 10 | 0
      target[at] = zero + rest - 10 * tenth
      rest = tenth
    }
    this.#length += digits
  }

  #reserve(byteLength: number): void {
    if (this.#length + byteLength <= this.#bytes.length) return
    const bytes = new Uint8Array(2 * (this.#length + byteLength))
    bytes.set(this.#bytes)
    this.#bytes = bytes
    this.#view = new DataView(bytes.buffer)
  }
}
