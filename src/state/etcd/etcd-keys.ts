// Keys of the store as keys of etcd, all of them below one prefix, and ranges of them.

/** `0` is the character after `/`: the end of a range is not in it. */
const afterSlash = '0'

export class EtcdKeys {
  readonly #prefix: string

  /** @param prefix `/sluice` */
  constructor(prefix: string) {
    this.#prefix = prefix
  }

  encode(key: string): Buffer {
    return Buffer.from(`${this.#prefix}/${key}`)
  }

  decode(key: Buffer): string {
    return key.toString('latin1').slice(this.#prefix.length + 1)
  }

  /** Of all that is below a prefix; undefined: of everything. */
  range(prefix?: string): { readonly key: Buffer; readonly rangeEnd: Buffer } {
    const base = prefix === undefined ? this.#prefix : `${this.#prefix}/${prefix}`
    return { key: Buffer.from(`${base}/`), rangeEnd: Buffer.from(`${base}${afterSlash}`) }
  }
}

/** The least key that is greater. */
export function keyAfter(key: Buffer): Buffer {
  return Buffer.concat([key, Buffer.of(0)])
}
