// What a tunnel thread's observer is told, posted to the main thread once a turn of its event loop, and told again there.

import type { TunnelObserver } from '../core/tunnel/tunnel-observer.ts'

/** A call of one of the observer's methods. */
export type TunnelEvent = { readonly [Name in keyof TunnelObserver]: { readonly name: Name; readonly arguments: Parameters<TunnelObserver[Name]> } }[keyof TunnelObserver]

/** The thread's end. */
export class TunnelEventPoster implements TunnelObserver {
  readonly #post: (events: readonly TunnelEvent[]) => void
  #events: TunnelEvent[] = []

  constructor(post: (events: readonly TunnelEvent[]) => void) {
    this.#post = post
  }

  sessionStarted(...arguments_: Parameters<TunnelObserver['sessionStarted']>): void {
    this.#add({ name: 'sessionStarted', arguments: arguments_ })
  }

  sessionChanged(...arguments_: Parameters<TunnelObserver['sessionChanged']>): void {
    this.#add({ name: 'sessionChanged', arguments: arguments_ })
  }

  sessionLeaving(...arguments_: Parameters<TunnelObserver['sessionLeaving']>): void {
    this.#add({ name: 'sessionLeaving', arguments: arguments_ })
  }

  sessionEnded(...arguments_: Parameters<TunnelObserver['sessionEnded']>): void {
    this.#add({ name: 'sessionEnded', arguments: arguments_ })
  }

  sessionRefused(...arguments_: Parameters<TunnelObserver['sessionRefused']>): void {
    this.#add({ name: 'sessionRefused', arguments: arguments_ })
  }

  announcementRefused(...arguments_: Parameters<TunnelObserver['announcementRefused']>): void {
    this.#add({ name: 'announcementRefused', arguments: arguments_ })
  }

  announcementHolds(...arguments_: Parameters<TunnelObserver['announcementHolds']>): void {
    this.#add({ name: 'announcementHolds', arguments: arguments_ })
  }

  peerLinkChanged(...arguments_: Parameters<TunnelObserver['peerLinkChanged']>): void {
    this.#add({ name: 'peerLinkChanged', arguments: arguments_ })
  }

  streamEnded(...arguments_: Parameters<TunnelObserver['streamEnded']>): void {
    this.#add({ name: 'streamEnded', arguments: arguments_ })
  }

  egressEnded(...arguments_: Parameters<TunnelObserver['egressEnded']>): void {
    this.#add({ name: 'egressEnded', arguments: arguments_ })
  }

  egressRefused(...arguments_: Parameters<TunnelObserver['egressRefused']>): void {
    this.#add({ name: 'egressRefused', arguments: arguments_ })
  }

  failed(...arguments_: Parameters<TunnelObserver['failed']>): void {
    this.#add({ name: 'failed', arguments: arguments_ })
  }

  /** What was told in this turn, now: the thread is about to end. */
  flush(): void {
    if (this.#events.length === 0) return
    const events = this.#events
    this.#events = []
    this.#post(events)
  }

  #add(event: TunnelEvent): void {
    this.#events.push(event)
    if (this.#events.length === 1) setImmediate(() => this.flush())
  }
}

/** The main thread's end. */
export function tellAgain(observer: TunnelObserver, events: readonly TunnelEvent[]): void {
  for (const event of events) {
    switch (event.name) {
      case 'sessionStarted': observer.sessionStarted(...event.arguments); break
      case 'sessionChanged': observer.sessionChanged(...event.arguments); break
      case 'sessionLeaving': observer.sessionLeaving(...event.arguments); break
      case 'sessionEnded': observer.sessionEnded(...event.arguments); break
      case 'sessionRefused': observer.sessionRefused(...event.arguments); break
      case 'announcementRefused': observer.announcementRefused(...event.arguments); break
      case 'announcementHolds': observer.announcementHolds(...event.arguments); break
      case 'peerLinkChanged': observer.peerLinkChanged(...event.arguments); break
      case 'streamEnded': observer.streamEnded(...event.arguments); break
      case 'egressEnded': observer.egressEnded(...event.arguments); break
      case 'egressRefused': observer.egressRefused(...event.arguments); break
      case 'failed': observer.failed(...event.arguments); break
      default: event satisfies never
    }
  }
}
