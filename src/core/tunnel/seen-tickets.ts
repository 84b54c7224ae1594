// Tickets that have been used, over all threads: a table in shared memory, one cell each, written by compare and exchange.
//
//   cell: 48 bits of the ticket's MAC │ 16 bits of the second until which it could be used again
//
// A ticket is looked for in a few cells from its place on; one that has become worthless makes room. Where all of them are
// taken, a ticket can't be remembered, and so must be refused.

export const seenTicketsCells = 262_144
const probesMax = 16
const secondsMask = 0xffffn

export class SeenTickets {
  readonly #cells: BigUint64Array

  /** @param buffer of `seenTicketsCells` times 8 bytes, zeroed */
  constructor(buffer: SharedArrayBuffer) {
    this.#cells = new BigUint64Array(buffer)
  }

  /**
   * @param mac of a ticket that was judged to be good
   * @param nowSeconds Unix time, and `untilSeconds` when the ticket is worthless; less than half a day apart
   */
  take(mac: Uint8Array, { nowSeconds, untilSeconds }: { readonly nowSeconds: number; readonly untilSeconds: number }): 'new' | 'seen' | 'full' {
    const view = new DataView(mac.buffer, mac.byteOffset, mac.byteLength)
    const tag = view.getBigUint64(0) & ~secondsMask
    const mine = tag | (BigInt(untilSeconds) & secondsMask)
    const first = view.getUint32(8) % this.#cells.length
    for (;;) {
      const free = this.#look(first, tag, nowSeconds)
      if (free === 'seen') return 'seen'
      if (free === undefined) return 'full'
      const cell = Atomics.load(this.#cells, free)
      if (isAlive(cell, nowSeconds) || Atomics.compareExchange(this.#cells, free, cell, mine) !== cell) continue
      // Two threads with one ticket may have found different cells: then both see it now.
      return this.#look(first, tag, nowSeconds, free) === 'seen' ? 'seen' : 'new'
    }
  }

  /** @returns seen, or the first cell that is free; undefined: none is */
  #look(first: number, tag: bigint, nowSeconds: number, except = -1): 'seen' | number | undefined {
    let free: number | undefined
    for (let probe = 0; probe < probesMax; probe++) {
      const at = (first + probe) % this.#cells.length
      const cell = Atomics.load(this.#cells, at)
      if (!isAlive(cell, nowSeconds)) free ??= at
      else if (at !== except && (cell & ~secondsMask) === tag) return 'seen'
    }
    return free
  }
}

/** Of the second only the low bits are known: less than half of their range ahead is alive. */
function isAlive(cell: bigint, nowSeconds: number): boolean {
  if (cell === 0n) return false
  const ahead = (Number(cell & secondsMask) - nowSeconds) & 0xffff
  return ahead > 0 && ahead < 0x8000
}
