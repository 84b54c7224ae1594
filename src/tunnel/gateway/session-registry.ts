// The live sessions, by node and in all. A node may have several at one time: a new one is never refused because an old one,
// whose connection is dead, has not been noticed yet.

import type { SessionFacts } from '../../core/tunnel/tunnel-observer.ts'

/** The oldest gives way. */
export const sessionsPerNodeMax = 4

export interface RegisteredSession {
  readonly facts: SessionFacts
  close(detail: string): void
}

export class SessionRegistry<Session extends RegisteredSession> {
  readonly #byKey = new Map<string, Session[]>()
  #size = 0
  #evicted = 0

  get size(): number {
    return this.#size
  }

  /** Those that gave way. */
  get evicted(): number {
    return this.#evicted
  }

  get all(): readonly Session[] {
    return [...this.#byKey.values()].flat()
  }

  of(keyId: string): readonly Session[] {
    return this.#byKey.get(keyId) ?? []
  }

  add(session: Session): void {
    const { keyId } = session.facts
    const sessions = this.#byKey.get(keyId) ?? []
    this.#byKey.set(keyId, [...sessions, session])
    this.#size += 1
    if (sessions.length < sessionsPerNodeMax) return
    this.#evicted += 1
    sessions[0]?.close('a newer session of the node takes its place')
  }

  remove(session: Session): void {
    const { keyId } = session.facts
    const sessions = this.#byKey.get(keyId) ?? []
    const left = sessions.filter((each) => each !== session)
    this.#size -= sessions.length - left.length
    if (left.length === 0) this.#byKey.delete(keyId)
    else this.#byKey.set(keyId, left)
  }
}
