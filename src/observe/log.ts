// The log: one JSON object a line on standard output, written at once so that the last lines before an exit are there.

import { destination, pino, stdTimeFunctions, type DestinationStream } from 'pino'

export const logLevels = ['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'] as const
export type LogLevel = (typeof logLevels)[number]

type Log = (fields: Readonly<Record<string, unknown>>, message: string) => void

/** What the rest of the program needs of a logger. `fields.err` is an Error, printed with its stack. */
export interface Logger {
  readonly debug: Log
  readonly info: Log
  readonly warn: Log
  readonly error: Log
  readonly fatal: Log
}

/** SLUICE_LOG_LEVEL is none of the levels. */
export class LogLevelError extends Error {
  readonly code = 'LOG_LEVEL'

  constructor(level: string) {
    super(`SLUICE_LOG_LEVEL is ${JSON.stringify(level)}; expected one of ${logLevels.join(', ')}`)
  }
}

export interface LoggerOptions {
  /** @default 'info' */
  readonly level?: string | undefined
  /** @default standard output */
  readonly stream?: DestinationStream
}

/** @throws {LogLevelError} */
export function createLogger({ level = 'info', stream = destination({ dest: 1, sync: true }) }: LoggerOptions): Logger {
  if (!logLevels.some((known) => known === level)) throw new LogLevelError(level)
  return pino({
    level,
    base: { pid: process.pid },
    timestamp: stdTimeFunctions.isoTime,
    formatters: { level: (label) => ({ level: label }) },
  }, stream)
}
