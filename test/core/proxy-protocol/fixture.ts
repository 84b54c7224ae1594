// Bytes captured from other programs: hexadecimal, with comment lines that say what sent them.

import { readFileSync } from 'node:fs'

const folder = new URL('../../fixtures/proxy-protocol/', import.meta.url)

export function fixture(name: string): Uint8Array {
  const lines = readFileSync(new URL(`${name}.hex`, folder), 'utf8').split('\n')
  return Buffer.from(lines.filter((line) => !line.startsWith('#')).join(''), 'hex')
}
