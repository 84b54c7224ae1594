// What a check of `sluice doctor` found, and how it is printed.

import { printable } from '../../config/quote.ts'

export type Verdict =
  | { readonly kind: 'ok'; readonly text: string }
  /** @property advice what to do next */
  | { readonly kind: 'failed'; readonly text: string; readonly advice: string }
  /** It could not be looked at, or does not matter here: the text says why. */
  | { readonly kind: 'skipped'; readonly text: string }

export interface Check {
  readonly name: string
  readonly verdict: Verdict
}

export function ok(text: string): Verdict {
  return { kind: 'ok', text }
}

export function failed(text: string, advice: string): Verdict {
  return { kind: 'failed', text, advice }
}

export function skipped(text: string): Verdict {
  return { kind: 'skipped', text }
}

const words = { ok: 'ok', failed: 'FAILED', skipped: '-' } as const

export function formatCheck({ name, verdict }: Check): string {
  const lines = [`${words[verdict.kind].padEnd(8)}${name.padEnd(15)}${printable(verdict.text)}`]
  if (verdict.kind === 'failed') lines.push(`${' '.repeat(23)}▶ ${printable(verdict.advice)}`)
  return lines.map((line) => `${line}\n`).join('')
}

export function formatSummary(verdicts: readonly Verdict[]): string {
  const count = (kind: Verdict['kind']): number => verdicts.filter((verdict) => verdict.kind === kind).length
  const looked = count('ok') + count('failed')
  return count('failed') === 0 ? `\nall ${looked} checks are ok\n` : `\n${count('failed')} of ${looked} checks failed\n`
}
