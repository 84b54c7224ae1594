// A configuration file's text: bounded, and UTF-8 throughout, so that no byte is replaced in silence.
//
// The size is counted while reading: what is no regular file (/dev/stdin, a pipe of the shell) has none beforehand.

import { isUtf8 } from 'node:buffer'
import { closeSync, fstatSync, openSync, readSync } from 'node:fs'
import { ConfigError } from './config-error.ts'

/** Some 250,000 tenants fit. */
export const fileBytesMax = 128 * 1024 * 1024
const chunkBytes = 1024 * 1024

/** @throws {ConfigError} */
export function readConfigFile(file: string): string {
  return readConfigBytes(file).toString('utf8')
}

/**
 * As `readConfigFile`, for those who need little of the text.
 * @param spare may be written over, and what is returned may be a part of it
 * @throws {ConfigError}
 */
export function readConfigBytes(file: string, spare?: ArrayBuffer): Buffer<ArrayBuffer> {
  const bytes = readBytes(file, spare)
  if (bytes === undefined) throw new ConfigError([{ file, path: '', message: 'the file is too large', expected: `at most ${fileBytesMax} bytes` }])
  if (!isUtf8(bytes)) throw new ConfigError([{ file, line: lineThatIsNotUtf8(bytes), column: 1, path: '', message: 'bytes that are no UTF-8', expected: 'text in UTF-8' }])
  return bytes
}

/** @returns undefined when there are more than `fileBytesMax` */
function readBytes(file: string, spare: ArrayBuffer | undefined): Buffer<ArrayBuffer> | undefined {
  try {
    const descriptor = openSync(file, 'r')
    try {
      // A regular file has one byte more room than it takes: what finds its end.
      const expectedBytes = Math.max(chunkBytes, Math.min(fstatSync(descriptor).size, fileBytesMax)) + 1
      let buffer = spare !== undefined && spare.byteLength >= expectedBytes ? Buffer.from(spare) : Buffer.allocUnsafeSlow(expectedBytes)
      for (let size = 0; size <= fileBytesMax;) {
        if (size === buffer.length) buffer = Buffer.concat([buffer], Math.min(2 * size, fileBytesMax + 1))
        const read = readSync(descriptor, buffer, { offset: size })
        if (read === 0) return buffer.subarray(0, size)
        size += read
      }
      return undefined
    } finally {
      closeSync(descriptor)
    }
  } catch (error) {
    if (!(error instanceof Error)) throw error
    throw new ConfigError([{ file, path: '', message: `can't be read: ${error.message}` }])
  }
}

function lineThatIsNotUtf8(bytes: Buffer): number {
  const newline = 0x0a
  for (let line = 1, start = 0; ; line++) {
    const end = bytes.indexOf(newline, start)
    if (end === -1 || !isUtf8(bytes.subarray(start, end))) return line
    start = end + 1
  }
}
