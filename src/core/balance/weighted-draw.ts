// One of many, each as often as its weight says, in constant time: the alias method (A. J. Walker, 1977; M. D. Vose, 1991).
//
// A hash or a random number picks a column. Each column is as high as the others, and holds its own number up to `#own` and
// one other above that.

export class WeightedDraw {
  readonly #own: Float64Array
  readonly #other: Int32Array

  /** @param weights greater than 0 */
  constructor(weights: readonly number[]) {
    const count = weights.length
    const sum = weights.reduce((total, weight) => total + weight, 0)
    this.#own = Float64Array.from(weights, (weight) => weight * count / sum)
    this.#other = Int32Array.from(weights.keys())
    const heights = this.#own.slice()
    const [low, high]: [number[], number[]] = [[], []]
    for (const [index, height] of heights.entries()) (height < 1 ? low : high).push(index)
    for (;;) {
      const small = low.pop()
      const large = high.at(-1)
      if (small === undefined || large === undefined) break
      const height = heights[small] ?? 1
      this.#own[small] = height
      this.#other[small] = large
      heights[large] = (heights[large] ?? 1) - (1 - height)
      if ((heights[large] ?? 1) < 1) low.push(high.pop() ?? 0)
    }
    // What rounding has left over is as high as a column.
    for (const index of [...low, ...high]) this.#own[index] = 1
  }

  /** @param hash a whole number from 0 to 2³²−1 @returns an index of `weights`; not for none */
  at(hash: number): number {
    const place = hash / 2 ** 32 * this.#own.length
    const column = Math.floor(place)
    return place - column < (this.#own[column] ?? 1) ? column : this.#other[column] ?? column
  }
}
