// Checks that a connection is accepted, thousands a second: non-blocking connects, and one epoll that is asked now and then.
//
//   socket ─▶ SO_LINGER 0 ─▶ connect ─▶ (epoll) ─▶ SO_ERROR ─▶ close, which sends RST
//
// RST leaves no TIME_WAIT behind, neither here nor there. Events come before deadlines: a thread that was held up finds what was
// accepted meanwhile, and does not take its own delay for the endpoint's.

import type { CheckTarget } from '../../core/balance/endpoint-register.ts'
import type { CheckDone, Prober } from '../../core/health/prober.ts'
import * as libc from './libc.ts'
import { SocketAddressCell } from './socket-address.ts'

const eventsPerPoll = 512

interface Probe {
  readonly id: number
  readonly timeoutMs: number
  readonly deadlineMs: number
}

/** Of our own process or machine: the endpoint has no part in it. */
const ownFaults: ReadonlySet<number> = new Set([libc.EMFILE, libc.ENFILE, libc.ENOBUFS, libc.ENOMEM, libc.EAGAIN, libc.EADDRNOTAVAIL])

export class ConnectProbes implements Prober {
  readonly #done: CheckDone
  readonly #nowMs: () => number
  readonly #epoll = new libc.Epoll(eventsPerPoll)
  readonly #address = new SocketAddressCell()
  /** By descriptor. */
  readonly #probes = new Map<number, Probe>()
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
    const fd = libc.socket(family, libc.SOCK_STREAM | libc.SOCK_NONBLOCK | libc.SOCK_CLOEXEC, 0)
    if (fd === -1) {
      this.#early.push({ id, error: libc.errno() })
      return
    }
    libc.setResetOnClose(fd)
    const connected = libc.connect(fd, this.#address.address, addressBytes)
    const error = connected === -1 ? libc.errno() : 0
    if (error === libc.EINPROGRESS && this.#epoll.add(fd, libc.EPOLLOUT, fd) === 0) {
      this.#probes.set(fd, { id, timeoutMs, deadlineMs: this.#nowMs() + timeoutMs })
      return
    }
    this.#early.push({ id, error: error === libc.EINPROGRESS ? libc.errno() : error })
    libc.close(fd)
  }

  poll(nowMs: number): void {
    const early = this.#early
    this.#early = []
    for (const { id, error } of early) this.#tell(id, error)
    for (;;) {
      const count = this.#probes.size === 0 ? 0 : this.#epoll.wait(0)
      for (let index = 0; index < count; index++) this.#ready(this.#epoll.tokenAt(index))
      if (count < eventsPerPoll) break
    }
    for (const [fd, { id, timeoutMs, deadlineMs }] of this.#probes) {
      if (nowMs < deadlineMs) continue
      this.#close(fd)
      this.#done(id, { kind: 'failed', why: `no connection in ${timeoutMs} ms` })
    }
  }

  close(): void {
    for (const fd of this.#probes.keys()) libc.close(fd)
    this.#probes.clear()
    this.#early = []
    libc.close(this.#epoll.fd)
  }

  #ready(fd: number): void {
    const probe = this.#probes.get(fd)
    if (probe === undefined) return
    const error = libc.getIntOption(fd, libc.SOL_SOCKET, libc.SO_ERROR)
    this.#close(fd)
    this.#tell(probe.id, error)
  }

  #close(fd: number): void {
    this.#probes.delete(fd)
    libc.close(fd)
  }

  #tell(id: number, error: number): void {
    if (error === 0) this.#done(id, { kind: 'passed', why: 'connection accepted' })
    else if (error === libc.ECONNREFUSED) this.#done(id, { kind: 'failed', why: 'connection refused' })
    else this.#done(id, { kind: ownFaults.has(error) ? 'void' : 'failed', why: `connect: ${libc.errnoName(error)}` })
  }
}
