// Wakes a thread out of epoll_wait more precisely than that call's whole milliseconds: timerfd_create(2), whose timers have
// no slack. epoll_pwait2 would do as well, on younger systems.

import koffi from 'koffi'
import { allocate, check, close, EPOLLET, EPOLLIN, free } from '../../src/relay/linux/libc.ts'
import { type EventLoop, wakeToken } from './event-loop.ts'

type Call = (...args: readonly number[]) => number

const process_ = koffi.load(null)
const timerfd_create = process_.func('timerfd_create', 'int', ['int', 'int']) as unknown as Call
const timerfd_settime = process_.func('timerfd_settime', 'int', ['int', 'int', 'intptr_t', 'intptr_t']) as unknown as Call

const CLOCK_MONOTONIC = 1
const TFD_NONBLOCK = 0o4000
const TFD_CLOEXEC = 0o2000000
/** struct itimerspec: interval and value, of 64 bits of seconds and 64 of nanoseconds each. */
const itimerspecBytes = 32
const valueSecondsInt = 4
const valueNanosecondsInt = 6

export class WakeTimer {
  readonly #fd = check(timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC), 'timerfd_create')
  readonly #time = allocate(itimerspecBytes)
  readonly #ints = new Int32Array(this.#time.bytes.buffer, 0, itimerspecBytes / 4)

  constructor(loop: EventLoop) {
    // Setting it anew takes back the expirations before, so there is nothing to read.
    check(loop.add(this.#fd, EPOLLIN | EPOLLET, wakeToken), 'epoll_ctl')
  }

  /** Once, in place of what was set before. @param durationMs more than 0, which would turn it off */
  wakeAfter(durationMs: number): void {
    const nanoseconds = Math.ceil(durationMs * 1e6)
    this.#ints[valueSecondsInt] = Math.floor(nanoseconds / 1e9)
    this.#ints[valueNanosecondsInt] = nanoseconds % 1e9
    check(timerfd_settime(this.#fd, 0, this.#time.address, 0), 'timerfd_settime')
  }

  close(): void {
    close(this.#fd)
    free(this.#time)
  }
}
