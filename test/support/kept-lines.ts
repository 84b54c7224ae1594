// A log's stream for tests that look at its lines.

import type { LineStream } from '../../src/observe/log.ts'

export interface KeptLines<Line> {
  readonly stream: LineStream
  readonly lines: Line[]
}

export function keptLines<Line = Readonly<Record<string, unknown>>>(): KeptLines<Line> {
  const lines: Line[] = []
  const stream = textStream((text) => {
    for (const line of text.trimEnd().split('\n')) lines.push(JSON.parse(line))
  })
  return { lines, stream }
}

/** @param take whole lines, with their ends */
export function textStream(take: (text: string) => void): LineStream {
  const decoder = new TextDecoder()
  const decode = (bytes: Uint8Array): void => take(decoder.decode(bytes))
  return { write: take, append: decode, give: decode }
}
