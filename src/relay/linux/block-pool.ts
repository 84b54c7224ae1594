// Blocks of native memory for bytes that one side has sent and the other does not take yet: at most one for each direction
// of a connection, so the table's capacity bounds them. A connection that flows has none.

import { allocate } from './libc.ts'

/** More than one read brings, and than a client's bytes that are kept for a further attempt (`replayBytesMax`) with the read that ends them. */
export const blockBytes = 128 * 1024
const blocksPerChunk = 16

export class BlockPool {
  readonly #addresses: number[] = []
  readonly #bytes: Uint8Array[] = []
  readonly #free: number[] = []
  /** By block: what is left of it. */
  readonly start: number[] = []
  readonly end: number[] = []

  /** Blocks that hold bytes. */
  get used(): number {
    return this.#addresses.length - this.#free.length
  }

  /**
   * A block with a copy of these bytes.
   * @param bytes 1 to `blockBytes` of them
   * @throws {SystemError} out of memory
   */
  take(bytes: Uint8Array): number {
    const block = this.#free.pop() ?? this.#grow()
    this.#bytes[block]?.set(bytes)
    this.start[block] = 0
    this.end[block] = bytes.byteLength
    return block
  }

  /** More bytes behind those of a block; false where they do not fit. */
  append(block: number, bytes: Uint8Array): boolean {
    const end = this.end[block] ?? 0
    if (end + bytes.byteLength > blockBytes) return false
    this.#bytes[block]?.set(bytes, end)
    this.end[block] = end + bytes.byteLength
    return true
  }

  release(block: number): void {
    this.#free.push(block)
  }

  addressOf(block: number): number {
    return (this.#addresses[block] ?? 0) + (this.start[block] ?? 0)
  }

  byteLengthOf(block: number): number {
    return (this.end[block] ?? 0) - (this.start[block] ?? 0)
  }

  #grow(): number {
    const { address, bytes } = allocate(blocksPerChunk * blockBytes)
    for (let offset = 0; offset < bytes.byteLength; offset += blockBytes) {
      this.#free.push(this.#addresses.length)
      this.#addresses.push(address + offset)
      this.#bytes.push(bytes.subarray(offset, offset + blockBytes))
    }
    return this.#free.pop() ?? 0
  }
}
