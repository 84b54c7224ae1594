// Which row of every per-listener table in shared memory is whose, the same in all threads.
//
//   Int32: rows taken · overflowed | per row: one byte of length, and the name in UTF-8
//
// The main thread adds names; any thread looks them up, and reads what is new when it meets a name that it does not know:
// no thread has to be told. Rows are never given back, since totals must not change their owner; a configuration has at most
// 100 listeners, so only a process that has been reloaded with hundreds of addresses fills the table. What comes then shares
// the last row.

/** Rows of a table that is kept by listener, the shared one included. */
export const listenerRowsMax = 256
/** Those without a row of their own. No listener's name: an address has a port. */
export const otherListeners = 'other'

const namedRowsMax = listenerRowsMax - 1
const overflowRow = namedRowsMax
/** An address with its port, however it is written, takes 53. */
const nameBytesMax = 127
const rowBytes = 1 + nameBytesMax
const rowsTaken = 0
const overflowed = 1
const headerBytes = 8

export class ListenerTable {
  /** For `new ListenerTable(buffer)` in another thread. */
  readonly buffer: SharedArrayBuffer
  readonly #header: Int32Array<SharedArrayBuffer>
  readonly #bytes: Uint8Array<SharedArrayBuffer>
  readonly #rows = new Map<string, number>()

  constructor(buffer = new SharedArrayBuffer(headerBytes + namedRowsMax * rowBytes)) {
    this.buffer = buffer
    this.#header = new Int32Array(buffer, 0, 2)
    this.#bytes = new Uint8Array(buffer, headerBytes)
  }

  /** Only the thread that made the table may add. Does nothing for a name that has a row. */
  add(name: string): void {
    this.#readNew()
    if (this.#rows.has(name)) return
    const row = this.#rows.size
    const utf8 = new TextEncoder().encode(name)
    if (row === namedRowsMax || utf8.length > nameBytesMax) {
      Atomics.store(this.#header, overflowed, 1)
      return
    }
    this.#bytes[row * rowBytes] = utf8.length
    this.#bytes.set(utf8, row * rowBytes + 1)
    this.#rows.set(name, row)
    // Last, so that no thread reads a row before it is whole.
    Atomics.store(this.#header, rowsTaken, row + 1)
  }

  /** The row of a name that was added before it could be met; else the shared one. */
  rowOf(name: string): number {
    return this.#rows.get(name) ?? this.#rowOfNew(name)
  }

  /** By row. Ends with `otherListeners`, in the shared row, once that has been used. */
  names(): ReadonlyMap<number, string> {
    this.#readNew()
    const names = new Map(Array.from(this.#rows, ([name, row]) => [row, name]))
    if (Atomics.load(this.#header, overflowed) === 1) names.set(overflowRow, otherListeners)
    return names
  }

  #rowOfNew(name: string): number {
    this.#readNew()
    const row = this.#rows.get(name)
    if (row !== undefined) return row
    Atomics.store(this.#header, overflowed, 1)
    return overflowRow
  }

  #readNew(): void {
    const taken = Atomics.load(this.#header, rowsTaken)
    for (let row = this.#rows.size; row < taken; row++) {
      const start = row * rowBytes + 1
      // A copy: a decoder takes no shared memory.
      const utf8 = this.#bytes.slice(start, start + (this.#bytes[start - 1] ?? 0))
      this.#rows.set(new TextDecoder().decode(utf8), row)
    }
  }
}
