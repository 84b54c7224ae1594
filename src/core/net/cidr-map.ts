// Values by network, looked up by address: the longest prefix first. A lookup costs one probe for each distinct prefix length,
// however many networks there are.

import { InvalidCidrError, keyOf, masked, parseCidr, type Cidr } from './cidr.ts'
import { parseIpAddress } from './ip-address.ts'

export class CidrMap<Value> {
  /** By family, then by prefix length, longest first, then by the network's address. */
  readonly #families = new Map<4 | 6, Map<number, Map<string, Value>>>()

  /** @throws {InvalidCidrError} */
  get(network: string): Value | undefined {
    const { network: { family, bytes }, prefixBits } = cidrIn(network)
    return this.#families.get(family)?.get(prefixBits)?.get(keyOf(bytes))
  }

  /** @throws {InvalidCidrError} */
  set(network: string, value: Value): void {
    const { network: { family, bytes }, prefixBits } = cidrIn(network)
    const lengths = this.#families.get(family) ?? new Map<number, Map<string, Value>>()
    const values = lengths.get(prefixBits)
    if (values === undefined) {
      lengths.set(prefixBits, new Map([[keyOf(bytes), value]]))
      this.#families.set(family, new Map([...lengths].toSorted(([one], [other]) => other - one)))
    } else values.set(keyOf(bytes), value)
  }

  /** @throws {InvalidCidrError} */
  delete(network: string): void {
    const { network: { family, bytes }, prefixBits } = cidrIn(network)
    const lengths = this.#families.get(family)
    const values = lengths?.get(prefixBits)
    values?.delete(keyOf(bytes))
    if (values?.size === 0) lengths?.delete(prefixBits)
  }

  /** Of all networks that the address is in, the longest prefix first; none for what is no IP address. */
  containing(address: string): readonly Value[] {
    const parsed = parseIpAddress(address)
    if (parsed === undefined) return []
    const found: Value[] = []
    for (const [prefixBits, values] of this.#families.get(parsed.family) ?? []) {
      const value = values.get(keyOf(masked(parsed.bytes, prefixBits)))
      if (value !== undefined) found.push(value)
    }
    return found
  }
}

function cidrIn(network: string): Cidr {
  const parsed = parseCidr(network)
  if (parsed.kind === 'invalid') throw new InvalidCidrError(`${network}: ${parsed.detail}`)
  return parsed.cidr
}
