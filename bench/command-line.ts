// What the benches' command lines have in common: how options are read, and what is said of wrong ones.

import { parseArgs } from 'node:util'

/** The command line is wrong; the message says how. */
export class OptionsError extends Error {
  readonly code = 'OPTIONS'
}

type Values<Name extends string> = Readonly<Partial<Record<Name, string>>> & { readonly tiny?: boolean, readonly help?: boolean }

/**
 * `--tiny` and `--help` have no value, which all others have.
 * @throws {OptionsError}
 */
export function valuesOf<Name extends string>(args: readonly string[], names: readonly Name[]): Values<Name> {
  const flag = { type: 'boolean' } as const
  try {
    const { values } = parseArgs({
      args: [...args],
      options: { ...Object.fromEntries(names.map((name) => [name, { type: 'string' as const }])), tiny: flag, help: { ...flag, short: 'h' } },
    })
    return values as Values<Name>
  } catch (error) {
    if (error instanceof TypeError) throw new OptionsError(error.message)
    throw error
  }
}

export function number(name: string, text: string, { min, max }: { min: number, max: number }): number {
  const value = Number(text)
  if (text.trim() === '' || !(value >= min && value <= max)) throw new OptionsError(`--${name} is ${JSON.stringify(text)}; expected a number from ${min} to ${max}`)
  return value
}

export function numbers(name: string, text: string, bounds: { min: number, max: number }): readonly number[] {
  return Array.from(new Set(text.split(',').map((each) => whole(name, each, bounds))))
}

export function whole(name: string, text: string, bounds: { min: number, max: number }): number {
  const value = number(name, text, bounds)
  if (!Number.isInteger(value)) throw new OptionsError(`--${name} is ${JSON.stringify(text)}; expected a whole number`)
  return value
}

export function list<T extends string>(name: string, text: string, known: readonly T[]): readonly T[] {
  return text.split(',').map((each) => {
    const found = known.find((one) => one === each)
    if (found === undefined) throw new OptionsError(`--${name}: there is no ${JSON.stringify(each)}; there are ${known.join(', ')}`)
    return found
  })
}
