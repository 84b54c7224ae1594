// What the gateway's log says at the end: lines of trouble that no fault explains, and the lines of given connections.

import { createReadStream } from 'node:fs'
import { createInterface } from 'node:readline'

export interface LogReview {
  /** The first few. */
  readonly trouble: readonly string[]
  readonly troubleCount: number
  /** By the client's port. */
  readonly connections: ReadonlyMap<number, string>
}

const troubleKeptMax = 10
/** Of errors and warnings, those that belong to what we do. */
const expected = [
  /"not reloaded: the running configuration stays"/, /access-log lines of connections that were not relayed were suppressed/,
  /a worker is made to crash/, /WorkerDiedError.*told to crash/, /endpoint ejected: dials of clients failed there in a row/,
]

export async function reviewLog(file: string, ports: ReadonlySet<number>): Promise<LogReview> {
  const trouble: string[] = []
  let troubleCount = 0
  const connections = new Map<number, string>()
  for await (const line of createInterface({ input: createReadStream(file) })) {
    const port = Number(/"client":"[^"]*:(\d+)"/.exec(line)?.[1])
    // A port is used again and again: the last one is not always the right one, so all are shown.
    if (ports.has(port)) connections.set(port, `${connections.get(port) ?? ''}${line}\n`)
    if (/^\{"level":"(?:info|debug|trace)"/.test(line) || expected.some((pattern) => pattern.test(line))) continue
    troubleCount += 1
    if (trouble.length < troubleKeptMax) trouble.push(line)
  }
  return { trouble, troubleCount, connections }
}
