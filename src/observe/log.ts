// The log: one JSON object a line on standard output.
//
// Lines wait in a queue of our own, so a reader that stalls or a full disk stops neither the relay nor the process: what
// does not fit is counted, and told once there is room again (log-queue.ts). At exit the queue is written first.

import { write } from 'node:fs'
import { pino, stdTimeFunctions } from 'pino'
import { LogQueue } from './log-queue.ts'

const logLevels = ['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'] as const

/** In every line, after its level and time. Threads share the process's number. */
export const logBase = { service: 'sluice', pid: process.pid }

/** Lines that the reader of standard output has not taken. */
const queueBytesMax = 8 * 1024 * 1024

/** UTF-8, all of its buffer. Who gives them has no more to do with them: the buffer is detached once they are written, or dropped. */
export type LineBytes = Uint8Array<ArrayBuffer>

export interface LineStream {
  /** One line, with its end. */
  write(text: string): void
  /** One line, with its end, UTF-8; copied before it returns. */
  append(bytes: Uint8Array): void
  /** So many whole ones. */
  give(bytes: LineBytes, lines: number): void
}

type Log = (fields: Readonly<Record<string, unknown>>, message: string) => void

/** What the rest of the program needs of a logger. `fields.err` is an Error, printed with its stack. */
export interface Logger {
  readonly debug: Log
  readonly info: Log
  readonly warn: Log
  readonly error: Log
  readonly fatal: Log
  /** Below which nothing is written. */
  readonly level: string
  /** Whether lines of level `info` are written: whoever formats them asks first. */
  readonly infoEnabled: boolean
  /** Takes lines that somebody else has formatted, in this log's format. */
  readonly stream: LineStream
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
  /** Written to at once. @default standard output, through the queue */
  readonly stream?: LineStream
}

/** @throws {LogLevelError} */
export function createLogger({ level = 'info', stream }: LoggerOptions): Logger {
  if (!logLevels.some((known) => known === level)) throw new LogLevelError(level)
  return stream === undefined ? standardOutputLogger(level) : loggerTo(stream, level)
}

function standardOutputLogger(level: string): Logger {
  const queue = new LogQueue({
    fd: 1,
    bytesMax: queueBytesMax,
    dropped: (lines) => logger.warn({ dropped: lines, queueBytesMax }, 'log lines were dropped: they could not be written in time'),
    // The one message that the log can't carry. No warning of Node's, which --no-warnings hides; and where standard error takes
    // nothing either, nobody is left to tell.
    failed: (error) => write(2, `sluice: the log can't be written: ${error.message}\n`, () => undefined),
  })
  const logger = loggerTo(queue, level)
  process.on('exit', () => queue.flushAtExit())
  return logger
}

function loggerTo(stream: LineStream, level: string): Logger {
  const logger = pino({
    level,
    base: logBase,
    timestamp: stdTimeFunctions.isoTime,
    formatters: { level: (label) => ({ level: label }) },
  }, stream)
  return Object.assign(logger, { infoEnabled: logger.isLevelEnabled('info'), stream })
}
