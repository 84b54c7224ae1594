// A bench as a command: help and wrong options, how it ends, where its results go.

import { mkdirSync, writeFileSync } from 'node:fs'
import { dirname } from 'node:path'
import { fileURLToPath } from 'node:url'
import { OptionsError } from './command-line.ts'

const resultsDirectory = fileURLToPath(new URL('results/', import.meta.url))

export interface Command<Options> {
  /** `bench:tunnel` */
  readonly name: string
  /** @returns undefined when help is asked for. @throws {OptionsError} */
  readonly parse: (args: readonly string[]) => Options | undefined
  readonly usage: string
  /** @returns the exit code */
  readonly run: (options: Options) => Promise<number>
}

/** The tables go to standard output, all else here. */
export function tell(text: string): void {
  process.stderr.write(`${text}\n`)
}

/** As this process: sets its exit code, and what signals do. */
export async function runCommand<Options>({ name, parse, usage, run }: Command<Options>): Promise<void> {
  if (process.platform !== 'linux') {
    tell(`${name}: CPU and memory are read from /proc, so it takes Linux`)
    process.exit(1)
  }
  exitOnSignals()
  try {
    const options = parse(process.argv.slice(2))
    if (options === undefined) process.stdout.write(usage)
    else process.exitCode = await run(options)
  } catch (error) {
    if (!(error instanceof OptionsError)) throw error
    tell(`${name}: ${error.message}\n--help tells more`)
    process.exitCode = 2
  }
}

/** An exit runs the handlers that end processes and remove files. */
export function exitOnSignals(): void {
  for (const [signal, code] of [['SIGINT', 130], ['SIGTERM', 143], ['SIGHUP', 129]] as const) process.once(signal, () => process.exit(code))
}

export interface Saved {
  /** Of the files that have no name of their own: `tunnel-`. */
  readonly prefix: string
  /** ISO 8601. */
  readonly startedAt: string
  readonly result: unknown
  readonly report: string
  readonly jsonFile?: string | undefined
  readonly markdownFile?: string | undefined
  /** SVG. */
  readonly plot?: string | undefined
  readonly plotFile?: string | undefined
}

/** Writes all of it, and prints the report. */
export function save({ prefix, startedAt, result, report, plot, ...files }: Saved): void {
  const base = `${resultsDirectory}${prefix}${startedAt.slice(0, 19).replaceAll(':', '-')}`
  const { jsonFile = `${base}.json`, markdownFile = `${base}.md`, plotFile = `${base}.svg` } = files
  const written = [[jsonFile, `${JSON.stringify(result, undefined, 2)}\n`], [markdownFile, report], ...(plot === undefined ? [] : [[plotFile, plot] as const])] as const
  for (const [file, text] of written) {
    mkdirSync(dirname(file), { recursive: true })
    writeFileSync(file, text)
  }
  process.stdout.write(report)
  tell(`\nwritten to ${written.map(([file]) => file).join(' and ')}`)
}
