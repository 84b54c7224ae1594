// Two streams of different sessions as one: bytes both ways, FIN for FIN, reset for reset, and a reader that stops stops the
// other side's writer, window by window.

import type { MuxStream, StreamHandler } from '../../core/mux/stream.ts'

/** Takes over both streams. @param ended once, when both are done with */
export function pairStreams(one: MuxStream, other: MuxStream, ended: () => void): void {
  let open = 2
  const over = (): void => {
    open -= 1
    if (open === 0) ended()
  }
  const reset = (): void => {
    if (open <= 0) return
    open = 0
    one.reset()
    other.reset()
    ended()
  }
  const [toOther, toOne] = [new OneWay(one, other, over, reset), new OneWay(other, one, over, reset)]
  toOther.back = toOne
  toOne.back = toOther
  one.handler = toOther
  other.handler = toOne
}

/** What comes by `from` goes to `to`. */
class OneWay implements StreamHandler {
  back: OneWay | undefined
  readonly #from: MuxStream
  readonly #to: MuxStream
  readonly #over: () => void
  readonly #reset: () => void
  /** Taken by `to` when it had enough already: credit that `from` is owed. */
  #owedBytes = 0

  constructor(from: MuxStream, to: MuxStream, over: () => void, reset: () => void) {
    this.#from = from
    this.#to = to
    this.#over = over
    this.#reset = reset
  }

  data(bytes: Uint8Array): void {
    if (this.#to.write(bytes)) this.#from.consumed(bytes.length)
    else this.#owedBytes += bytes.length
  }

  finished(): void {
    this.#to.finish()
    this.#over()
  }

  reset(): void {
    this.#reset()
  }

  /** `from` has room again: it is the way back that waited for it. */
  writable(): void {
    this.back?.goOn()
  }

  goOn(): void {
    const owedBytes = this.#owedBytes
    this.#owedBytes = 0
    if (owedBytes > 0) this.#from.consumed(owedBytes)
  }
}
