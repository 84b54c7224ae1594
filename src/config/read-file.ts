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
  const bytes = readBytes(file)
  if (bytes === undefined) throw new ConfigError([{ file, path: '', message: 'the file is too large', expected: `at most ${fileBytesMax} bytes` }])
  if (!isUtf8(bytes)) throw new ConfigError([{ file, line: lineThatIsNotUtf8(bytes), column: 1, path: '', message: 'bytes that are no UTF-8', expected: 'text in UTF-8' }])
  return bytes.toString('utf8')
}

/** @returns undefined when there are more than `fileBytesMax` */
function readBytes(file: string): Buffer | undefined {
  try {
    const descriptor = openSync(file, 'r')
    try {
      const chunks: Buffer[] = []
      let size = 0
      // A regular file comes in one piece, which need not be copied.
      let nextBytes = Math.max(chunkBytes, Math.min(fstatSync(descriptor).size, fileBytesMax + 1))
      while (size <= fileBytesMax) {
        const chunk = Buffer.allocUnsafe(nextBytes)
        const read = readSync(descriptor, chunk)
        if (read === 0) return chunks.length === 1 ? chunks[0] : Buffer.concat(chunks)
        chunks.push(chunk.subarray(0, read))
        size += read
        nextBytes = chunkBytes
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
