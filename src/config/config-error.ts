// What is wrong with a configuration: every problem with its place, what was found, and what was expected.
//
//   sluice.yaml:12:5: tenants[3].apiServer.nodPort: unknown key; did you mean nodePort?

import { printable } from './quote.ts'

export interface ConfigProblem {
  /** The file, or `environment variable NAME`. */
  readonly file: string
  /** From 1; absent where the problem has no place in the file. */
  readonly line?: number
  readonly column?: number
  /** `tenants[3].apiServer.nodePort`; empty for the file as a whole. */
  readonly path: string
  /** What was found. */
  readonly message: string
  readonly expected?: string
  /** The known name that is nearest to what was found. */
  readonly nearest?: string
}

/** Printed at the most; the count tells of the others. */
export const problemsShownMax = 100

/** The configuration can't be used. Nothing of it has been applied. */
export class ConfigError extends Error {
  readonly code = 'CONFIG_INVALID'
  /** ≥1, in the order of the file. */
  readonly problems: readonly ConfigProblem[]

  constructor(problems: readonly ConfigProblem[]) {
    super(shownLines(problems).join('\n'))
    this.problems = problems
  }
}

/** One line. */
export function formatProblem({ file, line, column, path, message, expected, nearest }: ConfigProblem): string {
  const place = line === undefined ? file : `${file}:${line}:${column ?? 1}`
  return printable([
    `${place}: ${path === '' ? '' : `${path}: `}${message}`,
    ...(nearest === undefined ? [] : [`did you mean ${nearest}?`]),
    ...(expected === undefined ? [] : [`expected ${expected}`]),
  ].join('; '))
}

/** Every problem, a line each, and their count: for a terminal. */
export function formatProblems({ problems }: ConfigError): string {
  return [...shownLines(problems), `${problems.length} ${problems.length === 1 ? 'error' : 'errors'}`].map((line) => `${line}\n`).join('')
}

function shownLines(problems: readonly ConfigProblem[]): string[] {
  const shown = problems.slice(0, problemsShownMax).map(formatProblem)
  return problems.length > problemsShownMax ? [...shown, `… and ${problems.length - problemsShownMax} more`] : shown
}
