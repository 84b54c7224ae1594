// Calls whose result nothing waits for, performed together: registering with epoll before the worker waits, and closing, behind
// each round of set-ups and before it waits. A connection needs two of each, and on a busy worker one system call then serves many
// connections.
//
// Registrations go before closes, so that a descriptor that is both is registered while it is still the same one. Its number may come
// back in the same turn: events of a wait name tokens, and those that wait still go with their descriptor (`ConnectionTable.setFd`).

import type { BatchRing } from './batch-ring.ts'
import * as libc from './libc.ts'
import { NumberList } from './number-list.ts'

/** From so many on one call for all of them pays. */
const togetherMin = 3

export interface DeferredCallsParts {
  readonly epoll: libc.Epoll
  /** Absent: one call for each. */
  readonly ring: BatchRing | undefined
  /** Events of this token's descriptor will never be told of. */
  readonly failed: (token: number, error: libc.SystemError) => void
}

export class DeferredCalls {
  readonly #failed: DeferredCallsParts['failed']
  readonly #epoll: libc.Epoll
  readonly #ring: BatchRing | undefined
  readonly #events: libc.EpollEvents
  readonly #registerFds = new NumberList()
  readonly #registerTokens = new NumberList()
  readonly #closeFds = new NumberList()

  constructor({ epoll, ring, failed }: DeferredCallsParts) {
    this.#epoll = epoll
    this.#ring = ring
    this.#failed = failed
    this.#events = new libc.EpollEvents(ring?.capacity ?? 1)
  }

  register(fd: number, token: number): void {
    this.#registerFds.push(fd)
    this.#registerTokens.push(token)
  }

  /** At once: the descriptor is about to be somebody else's. */
  unregister(fd: number): void {
    const index = this.#registerFds.indexOf(fd)
    if (index === -1) {
      this.#epoll.remove(fd)
      return
    }
    this.#registerFds.remove(index)
    this.#registerTokens.remove(index)
  }

  close(fd: number): void {
    this.#closeFds.push(fd)
  }

  /** @param events that registered descriptors are watched for */
  perform(events: number): void {
    if (this.#registerFds.length > 0) this.#registerAll(events)
    if (this.#closeFds.length > 0) this.#closeAll()
  }

  /**
   * If any is to be closed; to be called once hellos have been sent: who has been woken for one hears of a RST in passing, and need not be
   * woken for it.
   */
  performCloses(events: number): void {
    if (this.#closeFds.length > 0) this.perform(events)
  }

  #registerAll(events: number): void {
    const fds = this.#registerFds
    const tokens = this.#registerTokens
    const ring = this.#ring
    if (ring === undefined || fds.length < togetherMin) {
      for (let index = 0; index < fds.length; index++) {
        if (this.#epoll.add(fds.at(index), events, tokens.at(index)) === -1) this.#tell(tokens.at(index), libc.errno())
      }
    } else {
      for (let from = 0; from < fds.length; from += ring.capacity) this.#registerTogether(ring, events, from, Math.min(fds.length, from + ring.capacity))
    }
    fds.clear()
    tokens.clear()
  }

  #registerTogether(ring: BatchRing, events: number, from: number, to: number): void {
    for (let index = from; index < to; index++) {
      const event = this.#events.set(index - from, events, this.#registerTokens.at(index))
      ring.addEpollCtl(this.#epoll.fd, libc.EPOLL_CTL_ADD, this.#registerFds.at(index), event)
    }
    ring.submit()
    for (let index = 0; index < to - from; index++) {
      const result = ring.results[index] ?? 0
      if (result < 0) this.#tell(this.#registerTokens.at(from + index), -result)
    }
  }

  #tell(token: number, error: number): void {
    this.#failed(token, new libc.SystemError('epoll_ctl', error))
  }

  #closeAll(): void {
    const fds = this.#closeFds
    const ring = this.#ring
    if (ring === undefined || fds.length < togetherMin) {
      for (let index = 0; index < fds.length; index++) libc.close(fds.at(index))
    } else {
      for (let from = 0; from < fds.length; from += ring.capacity) {
        for (let index = from; index < Math.min(fds.length, from + ring.capacity); index++) ring.addClose(fds.at(index))
        ring.submit()
      }
    }
    fds.clear()
  }
}
