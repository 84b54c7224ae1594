// What is answered about drains, whoever's they are.

import type { AdminAnswer } from '../../observe/admin/routes.ts'
import type { DrainStatus } from '../drains.ts'

/** @param status undefined: too many run */
export function drainBegan(status: DrainStatus | undefined, more: object = {}): AdminAnswer {
  return status === undefined ? { status: 503, value: { error: 'too many drains are under way', expected: 'a later one, or one less (/v1/drains)' } } : { status: 202, value: { ...more, ...status } }
}

/** @param status undefined: none runs */
export function drainCancelled(status: DrainStatus | undefined): AdminAnswer {
  return status === undefined ? { status: 404, value: { error: 'no such drain: it may be over' } } : { status: 200, value: status }
}
