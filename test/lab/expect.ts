// What must hold of calls and watches: a bound on how long they waited, and a reason.

import type { Test } from 'tap'
import type { Called, WatchBy } from './calls.ts'
import type { Outcome } from './client.ts'
import { answerBoundMs, vanishedBoundMs } from './lab.ts'

/** For a machine that others use. Without the bound they would wait for minutes. */
const slackMs = 10_000

export async function cut(t: Test, { gateway, watch }: WatchBy, { sinceMs, reason }: { readonly sinceMs: number; readonly reason: string }): Promise<void> {
  const { how, atMs } = await watch.ended
  t.equal(how, 'ECONNRESET')
  within(t, atMs - sinceMs, vanishedBoundMs, `by ${gateway.relay}`)
  t.match(await gateway.lineOf(watch.client), { outcome: 'aborted', reason })
}

export function answered(t: Test, outcomes: readonly Outcome[], what: string): void {
  t.same(outcomes.filter(({ status }) => status !== 200), [], `${what}: all are answered`)
  within(t, Math.max(...outcomes.map(({ waitedMs }) => waitedMs)), answerBoundMs, what)
}

export async function refused(t: Test, outcomes: readonly Called[], reason: RegExp): Promise<void> {
  within(t, Math.max(...outcomes.map(({ waitedMs }) => waitedMs)), answerBoundMs, 'who is refused')
  for (const { status, error, client, gateway } of outcomes) {
    t.match([status, error], [undefined, /alert internal error/])
    t.match(await gateway.lineOf(client), { outcome: 'failed', reason })
  }
}

export function within(t: Test, waitedMs: number, boundMs: number, what: string): void {
  t.ok(waitedMs <= boundMs + slackMs, `${what}: ${Math.round(waitedMs)} ms, of ${boundMs}`)
}
