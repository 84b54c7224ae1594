// The log: one JSON object a line on standard output.
//
// Lines wait in a queue of our own, so a reader that stalls or a full disk stops neither the relay nor the process: what
// does not fit is counted, and told once there is room again. At exit the queue is written before the process ends.

import { destination, pino, stdTimeFunctions, type DestinationStream } from 'pino'

const logLevels = ['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'] as const

/** Lines that the reader of standard output has not taken. */
const queueBytesMax = 8 * 1024 * 1024

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
  /** Written to at once, one whole line a call. @default standard output, through the queue */
  readonly stream?: DestinationStream
}

/** @throws {LogLevelError} */
export function createLogger({ level = 'info', stream }: LoggerOptions): Logger {
  if (!logLevels.some((known) => known === level)) throw new LogLevelError(level)
  return stream === undefined ? standardOutputLogger(level) : loggerTo(stream, level)
}

function standardOutputLogger(level: string): Logger {
  const output = destination({ dest: 1, sync: false, maxLength: queueBytesMax })
  const logger = loggerTo(output, level)
  let dropped = 0
  let failure: NodeJS.ErrnoException | undefined
  output.on('drop', () => {
    dropped += 1
  })
  // The line in hand stays in the queue and is tried again with the next one. Once each time it begins, standard error says so.
  output.on('error', (error: NodeJS.ErrnoException) => {
    if (failure?.code !== error.code) process.emitWarning(`the log can't be written: ${error.message}`)
    failure = error
  })
  output.on('drain', () => {
    failure = undefined
    if (dropped === 0) return
    const lines = dropped
    dropped = 0
    logger.warn({ dropped: lines, queueBytesMax }, 'log lines were dropped: the reader of the log was too slow')
  })
  return logger
}

function loggerTo(stream: DestinationStream, level: string): Logger {
  return pino({
    level,
    base: { service: 'sluice', pid: process.pid },
    timestamp: stdTimeFunctions.isoTime,
    formatters: { level: (label) => ({ level: label }) },
  }, stream)
}
