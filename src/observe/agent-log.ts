// An agent in its log: a line for each session that begins or is not to be had, and for connections of the node that got
// nowhere one at warn, within a budget; for the others at debug.

import type { AgentObserver, ForwardedRecord, LinkFacts, ReverseRecord } from '../core/tunnel/agent-observer.ts'
import { refusalAdvice } from '../core/tunnel/refusal-advice.ts'
import { LineBudget } from './line-budget.ts'
import type { Logger } from './log.ts'

/** Lines about connections that were reset: clients that try again and again must not fill the log. */
const lineLimits = { linesPerSecond: 5, linesBurst: 50 } as const

export class AgentLog implements AgentObserver {
  readonly #logger: Logger
  readonly #lines = new LineBudget<ForwardedRecord['end'] | 'reverse'>(lineLimits)
  #suppressed = 0

  constructor(logger: Logger) {
    this.#logger = logger
  }

  linkChanged({ gateway, state }: LinkFacts): void {
    const logger = this.#logger
    switch (state.kind) {
      case 'connecting': logger.debug({ gateway }, 'connecting'); break
      case 'up': logger.info({ gateway }, 'session is up'); break
      case 'draining': logger.info({ gateway }, 'the gateway goes: new connections go elsewhere'); break
      case 'waiting': logger.warn({ gateway, why: state.why, retryInMs: Math.round(state.untilMs - performance.now()) }, 'no session'); break
      case 'closed': break
      default: state satisfies never
    }
  }

  linkRefused({ gateway }: LinkFacts, why: string): void {
    const advice = refusalAdvice(why.split(' ')[1] ?? '')
    this.#logger.warn({ gateway, why, ...(advice === undefined ? {} : { advice }) }, 'the gateway refused')
  }

  announcementsRefused({ gateway, refusedAnnouncements: refused }: LinkFacts): void {
    if (refused.length === 0) this.#logger.info({ gateway }, 'the gateway takes all that this node announces')
    else this.#logger.warn({ gateway, refused }, 'the gateway does not take all that this node announces')
  }

  connectionEnded(record: ForwardedRecord): void {
    if (record.end !== 'refused' && record.end !== 'no-session') {
      this.#logger.debug({ ...record }, 'connection')
    } else this.#limited(record.end, { ...record }, 'connection reset')
  }

  reverseEnded(record: ReverseRecord): void {
    if (record.end === 'refused') this.#limited('reverse', { ...record }, 'a connection that the API server asked for was refused')
    else this.#logger.debug({ ...record }, 'connection of the API server')
  }

  #limited(kind: ForwardedRecord['end'] | 'reverse', facts: object, message: string): void {
    if (!this.#lines.take(kind, performance.now())) {
      this.#suppressed += 1
      return
    }
    this.#logger.warn({ ...facts, ...(this.#suppressed === 0 ? {} : { linesSuppressedBefore: this.#suppressed }) }, message)
    this.#suppressed = 0
  }
}
