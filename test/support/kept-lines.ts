// A log's stream that keeps its lines, for tests that look at them.

import type { LineStream } from '../../src/observe/log.ts'

export interface KeptLines<Line> {
  readonly stream: LineStream
  readonly lines: Line[]
}

export function keptLines<Line = Readonly<Record<string, unknown>>>(): KeptLines<Line> {
  const lines: Line[] = []
  const keep = (text: string): void => {
    for (const line of text.trimEnd().split('\n')) lines.push(JSON.parse(line))
  }
  return { lines, stream: { write: (text) => keep(typeof text === 'string' ? text : new TextDecoder().decode(text)) } }
}
