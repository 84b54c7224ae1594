import fc from 'fast-check'
import { test } from 'tap'
import { JsonLine, Literal } from '../../src/observe/json-line.ts'

function put(fill: (line: JsonLine) => void): string {
  const line = new JsonLine()
  line.ascii('not this')
  line.clear()
  fill(line)
  return new TextDecoder().decode(line.bytes)
}

function shouldEqual(actual: string, expected: string): void {
  if (actual !== expected) throw new Error(`${actual} is not ${expected}`)
}

void test('a number is written as String writes it', async (t) => {
  for (const value of [0, 9, 10, 999_999_999, 1e9, 1e9 + 7, 2 ** 32, Number.MAX_SAFE_INTEGER, 1e21, -1, 0.5, NaN, Infinity]) t.equal(put((line) => line.number(value)), String(value))
  fc.assert(fc.property(fc.oneof(fc.maxSafeNat(), fc.double()), (value) => shouldEqual(put((line) => line.number(value)), String(value))))
  fc.assert(fc.property(fc.nat(999_999), fc.integer({ min: 6, max: 9 }), (value, digits) => shouldEqual(put((line) => line.padded(value, digits)), String(value).padStart(digits, '0'))))
})

void test('text is quoted as JSON.stringify quotes it, and only plain text is left as it is', async () => {
  fc.assert(fc.property(fc.string({ unit: 'binary', maxLength: 100 }), (text) => shouldEqual(put((line) => line.quoted(text)), JSON.stringify(text).toWellFormed())))
  fc.assert(fc.property(fc.string({ unit: 'grapheme', maxLength: 5 }), (text) => {
    const isPlain = /^[ -~]*$/.test(text) && !/["\\]/.test(text)
    shouldEqual(put((line) => line.quotedIfPlain(text)), isPlain ? `"${text}"` : '')
  }))
})

void test('a literal stands where it is put, and nothing of it behind its end, wherever the memory for the line ends', async () => {
  const ascii = fc.string({ unit: fc.integer({ min: 0, max: 0x7f }).map((code) => String.fromCharCode(code)), maxLength: 40 })
  fc.assert(fc.property(fc.array(ascii, { maxLength: 5 }), fc.integer({ min: 1_900, max: 2_100 }), (texts, before) => {
    const expected = 'x'.repeat(before) + texts.join('-')
    shouldEqual(put((line) => {
      line.ascii('x'.repeat(before))
      for (const [index, text] of texts.entries()) {
        if (index > 0) line.ascii('-')
        line.literal(new Literal(text))
      }
    }), expected)
  }))
})

void test('a line may be of any length', async (t) => {
  const long = '€'.repeat(10_000)
  t.equal(put((line) => {
    line.ascii('{"a":')
    line.quoted(long)
    line.ascii('x'.repeat(100_000))
    line.number(7)
  }), `{"a":"${long}"${'x'.repeat(100_000)}7`)
})
