// Memory for what sockets read in bulk. 64 KiB that are new each time cost more than what is done with them: they are zeroed, and
// collected again. So whoever has sent them gives them back, if it can tell that nobody holds them; what is not given back is
// collected as ever.
//
//   takeReadBuffer ─▶ recv ─▶ lend ─▶ SocketHandler.received ─▶ a stream's queue ─▶ sent ─▶ giveBack
//
// Each thread has its own.

export const readBufferBytes = 64 * 1024
/** Kept for the next reads. */
const sparesMax = 16

const spares: Uint8Array[] = []
/** What was lent, and of which buffer it is. */
const lent = new WeakMap<Uint8Array, Uint8Array>()

export function takeReadBuffer(): Uint8Array {
  return spares.pop() ?? new Uint8Array(readBufferBytes)
}

/** @returns the first bytes of a buffer, which may be given back as this very object */
export function lend(buffer: Uint8Array, length: number): Uint8Array {
  const bytes = buffer.subarray(0, length)
  lent.set(bytes, buffer)
  return bytes
}

/** Nobody looks at it any more. Of what was not lent, or is a part of it, nothing becomes. */
export function giveBack(bytes: Uint8Array): void {
  const buffer = lent.get(bytes)
  if (buffer === undefined) return
  lent.delete(bytes)
  if (spares.length < sparesMax) spares.push(buffer)
}
