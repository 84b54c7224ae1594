// What the gateway's own log says of when sessions began: by the clock of the thread that let the agent in, whenever the line was written.

import { readFileSync } from 'node:fs'
import { setTimeout as delay } from 'node:timers/promises'

/** For the last lines to be written. */
const waitMsMax = 10_000
const pollMs = 50

/**
 * Milliseconds of the epoch, of sessions whose node enrolled with it, or of those whose node was known. Of a gateway that was started again with the
 * same log: of both.
 * @param sessions so many are waited for
 * @throws an error where there are fewer
 */
export async function sessionsBegun(logFile: string, { enrolled, sessions }: { readonly enrolled: boolean, readonly sessions: number }): Promise<readonly number[]> {
  const deadlineMs = performance.now() + waitMsMax
  for (;;) {
    const begunMs = begunIn(readFileSync(logFile, 'utf8'), enrolled)
    if (begunMs.length >= sessions) return begunMs
    if (performance.now() > deadlineMs) throw new Error(`the gateway’s log has ${begunMs.length} sessions that began${enrolled ? ' with an enrolment' : ''}; expected ${sessions}`)
    await delay(pollMs)
  }
}

function begunIn(log: string, enrolled: boolean): readonly number[] {
  return log.split('\n').filter((line) => line.includes('"msg":"tunnel session"')).flatMap((line) => {
    const session: { readonly enrolled: boolean, readonly sinceMs: number } = JSON.parse(line)
    return session.enrolled === enrolled ? session.sinceMs : []
  })
}
