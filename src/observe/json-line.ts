// A line of JSON that is put together as bytes, in memory that is used again for the next one: as text it would be a tree of
// some forty pieces, each of them garbage, which is flattened and encoded once it is whole.

const quote = 0x22
const backslash = 0x5c
const zero = 0x30
const [firstPrintable, lastPrintable] = [0x20, 0x7e]
/** UTF-8, of one UTF-16 unit. */
const bytesPerUnitMax = 3
/** Digits that 32-bit arithmetic does at once. */
const low = 1e9
const encoder = new TextEncoder()

export class JsonLine {
  #bytes = new Uint8Array(2_048)
  #length = 0

  clear(): void {
    this.#length = 0
  }

  /** @returns what was put in since `clear`; good until the next call */
  get bytes(): Uint8Array {
    return this.#bytes.subarray(0, this.#length)
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
      this.padded(value % low, 9)
    }
  }

  /** With zeros before it where it has fewer digits. @param value an integer, at least 0 and below `low` */
  padded(value: number, digitsMin: number): void {
    let digits = digitsMin
    for (let limit = 10 ** digitsMin; value >= limit; limit *= 10) digits += 1
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
  }
}
