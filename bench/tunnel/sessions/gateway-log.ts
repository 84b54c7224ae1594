// What the gateway's own log says of when sessions began: by the clock of the thread that let the agent in, whenever the line was written.

import { readFileSync } from 'node:fs'
import { setTimeout as delay } from 'node:timers/promises'

/** For the last lines to be written. */
const waitMsMax = 10_000
const pollMs = 50

/**
 * Milliseconds of the epoch.
 * @param skipped of the first ones: those of the gateway that wrote this log before
 * @param sessions so many are waited for
 * @throws an error where there are fewer
 */
export async function sessionsBegun(logFile: string, { skipped, sessions }: { readonly skipped: number, readonly sessions: number }): Promise<readonly number[]> {
  const deadlineMs = performance.now() + waitMsMax
  for (;;) {
    const begunMs = sessionsIn(logFile).slice(skipped)
    if (begunMs.length >= sessions) return begunMs
    if (performance.now() > deadlineMs) throw new Error(`the gateway’s log has ${begunMs.length} sessions that began; expected ${sessions}`)
    await delay(pollMs)
  }
}

/** As far as they are written. */
export function sessionsIn(logFile: string): readonly number[] {
  const seen = new Set<string>()
  // The last line of a gateway that was killed may be cut.
  return readFileSync(logFile, 'utf8').split('\n').filter((line) => line.endsWith('"msg":"tunnel session"}')).map((line) => {
    const { time, node, sinceMs }: { readonly time: string, readonly node: string, readonly sinceMs: number } = JSON.parse(line)
    // A node that has another session still, which has not been noticed to be dead, has it since that one began.
    const isFirst = !seen.has(`${node} ${sinceMs}`)
    seen.add(`${node} ${sinceMs}`)
    return isFirst ? sinceMs : Date.parse(time)
  })
}
