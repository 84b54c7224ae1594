// Checks that a connection is accepted, thousands a second: non-blocking connects, and one epoll that is asked now and then.
//
//   pooled socket ─▶ connect ─▶ (epoll) ─▶ connect to AF_UNSPEC, which sends RST ─▶ pooled
//
// A socket that is taken off its peer (connect(2): "dissolve the association") serves the next check: a check takes two system calls and
// its part of an epoll_wait. RST leaves no TIME_WAIT behind, neither here nor there. Events come before deadlines: a thread that was
// held up finds what was accepted meanwhile, and does not take its own delay for the endpoint's.

import type { CheckTarget } from '../../core/balance/endpoint-register.ts'
import { isOwnFault } from '../../core/dial-failure.ts'
import type { CheckDone, Prober } from '../../core/health/prober.ts'
import * as libc from './libc.ts'
import { SocketAddressCell } from './socket-address.ts'

const eventsPerPoll = 512
/** Sockets of each family that wait for the next check; the others are closed. */
const pooledMax = 256

interface Probe {
  readonly id: number
  readonly family: number
  readonly timeoutMs: number
  readonly deadlineMs: number
}

export class ConnectProbes implements Prober {
  readonly #done: CheckDone
  readonly #nowMs: () => number
  readonly #epoll = new libc.Epoll(eventsPerPoll)
  readonly #address = new SocketAddressCell()
  /** Zeros: its family is AF_UNSPEC. */
  readonly #nobody = libc.allocate(libc.sockaddrInBytes)
  readonly #pooled = new Map<number, number[]>([[libc.AF_INET, []], [libc.AF_INET6, []]])
  /** By descriptor. */
  readonly #probes = new Map<number, Probe>()
  #isClosed = false
  /** Ended before they had to wait, by their errno; 0: accepted. */
  #early: { readonly id: number; readonly error: number }[] = []

  constructor({ done, nowMs }: { readonly done: CheckDone; readonly nowMs: () => number }) {
    this.#done = done
    this.#nowMs = nowMs
  }

  get size(): number {
    return this.#probes.size + this.#early.length
  }

  begin({ id, address, port, health }: CheckTarget): void {
    const timeoutMs = health?.timeoutMs ?? 0
    const addressBytes = this.#address.encode({ address, port })
    const family = address.includes(':') ? libc.AF_INET6 : libc.AF_INET
    if (addressBytes === undefined) throw new Error(`bug: ${address} is no IP address`)
    const fd = this.#pooled.get(family)?.pop() ?? this.#open(family)
    if (fd === -1) {
      this.#early.push({ id, error: libc.errno() })
      return
    }
    const connected = libc.connect(fd, this.#address.address, addressBytes)
    const error = connected === -1 ? libc.errno() : 0
    if (error === libc.EINPROGRESS) {
      this.#probes.set(fd, { id, family, timeoutMs, deadlineMs: this.#nowMs() + timeoutMs })
      return
    }
    this.#early.push({ id, error })
    this.#release(fd, family)
  }

  poll(nowMs: number): void {
    const early = this.#early
    this.#early = []
    for (const { id, error } of early) this.#tell(id, error)
    for (;;) {
      const count = this.#probes.size === 0 ? 0 : this.#epoll.wait(0)
      for (let index = 0; index < count; index++) this.#ready(this.#epoll.tokenAt(index), this.#epoll.eventsAt(index))
      if (count < eventsPerPoll) break
    }
    for (const [fd, { id, family, timeoutMs, deadlineMs }] of this.#probes) {
      if (nowMs < deadlineMs) continue
      this.#probes.delete(fd)
      this.#release(fd, family)
      this.#done(id, { kind: 'failed', why: `no connection in ${timeoutMs} ms` })
    }
  }

  close(): void {
    if (this.#isClosed) return
    this.#isClosed = true
    for (const fd of [...this.#probes.keys(), ...[...this.#pooled.values()].flat()]) libc.close(fd)
    this.#probes.clear()
    this.#pooled.clear()
    this.#early = []
    libc.close(this.#epoll.fd)
    libc.free(this.#nobody)
  }

  /** @returns -1 where there is none to be had */
  #open(family: number): number {
    const fd = libc.socket(family, libc.SOCK_STREAM | libc.SOCK_NONBLOCK | libc.SOCK_CLOEXEC, 0)
    if (fd === -1 || this.#epoll.add(fd, libc.EPOLLOUT | libc.EPOLLET, fd) === 0) return fd
    libc.close(fd)
    return -1
  }

  #ready(fd: number, events: number): void {
    const probe = this.#probes.get(fd)
    if (probe === undefined) return
    const error = (events & (libc.EPOLLERR | libc.EPOLLHUP)) === 0 ? 0 : libc.getIntOption(fd, libc.SOL_SOCKET, libc.SO_ERROR)
    // An event of before, of the same socket: it has not connected yet.
    if (error === 0 && (events & libc.EPOLLOUT) === 0) return
    this.#probes.delete(fd)
    this.#release(fd, probe.family)
    this.#tell(probe.id, error)
  }

  #release(fd: number, family: number): void {
    const pooled = this.#pooled.get(family)
    if (pooled !== undefined && pooled.length < pooledMax && libc.connect(fd, this.#nobody.address, libc.sockaddrInBytes) === 0) {
      pooled.push(fd)
      return
    }
    libc.setResetOnClose(fd)
    libc.close(fd)
  }

  #tell(id: number, error: number): void {
    if (error === 0) this.#done(id, { kind: 'passed', why: 'connection accepted' })
    else if (error === libc.ECONNREFUSED) this.#done(id, { kind: 'failed', why: 'connection refused' })
    else {
      const code = libc.errnoName(error)
      this.#done(id, { kind: isOwnFault(code) ? 'void' : 'failed', why: `connect: ${code}` })
    }
  }
}
