// Many calls of one kind as one system call, through io_uring(7): where entering the kernel costs a microsecond, a
// loop over a hundred sockets spends most of its time on that. Nothing is ever left under way: what could
// wait says MSG_DONTWAIT, so each operation has completed, or failed with EAGAIN, when `submit` returns. epoll stays what is
// waited on.
//
//   add … add ─▶ submission queue ── io_uring_enter ──▶ completion queue ─▶ results
//
// Layouts are those of <linux/io_uring.h>. With one thread that submits and reaps, and completions posted only inside its
// own io_uring_enter, plain loads and stores of the rings' heads and tails are enough.

import * as libc from './libc.ts'

const IORING_OP_CLOSE = 19
const IORING_OP_SEND = 26
const IORING_OP_RECV = 27
const IORING_OP_EPOLL_CTL = 29
const IORING_ENTER_GETEVENTS = 1
const IORING_SETUP_SUBMIT_ALL = 0x80
const IORING_SETUP_COOP_TASKRUN = 0x100
const IORING_SETUP_SINGLE_ISSUER = 0x1000
const IORING_SETUP_DEFER_TASKRUN = 0x2000
const IORING_OFF_SQ_RING = 0
const IORING_OFF_CQ_RING = 0x8000000
const IORING_OFF_SQES = 0x10000000

/** struct io_uring_params, in 32-bit numbers. */
const paramsInts = { flags: 2, sqOffsets: 10, cqOffsets: 20 } as const
const paramsBytes = 120
const sqeInts = 16
const cqeInts = 4

export class BatchRing {
  readonly fd: number
  /** Operations of one `submit` at the most. */
  readonly capacity: number
  /** By operation, in the order they were added: bytes, or an errno below 0. */
  readonly results: Int32Array
  readonly #sq: Int32Array
  readonly #sqTail: number
  readonly #sqMask: number
  readonly #cq: Int32Array
  readonly #cqHead: number
  readonly #cqTail: number
  readonly #cqMask: number
  readonly #cqes: number
  readonly #sqes: Int32Array
  #added = 0

  private constructor(fd: number, params: Int32Array, capacity: number) {
    this.fd = fd
    this.capacity = capacity
    this.results = new Int32Array(capacity)
    const int = (index: number): number => params[index] ?? 0
    const sqArray = int(paramsInts.sqOffsets + 6)
    this.#sq = libc.mapRing(fd, IORING_OFF_SQ_RING, sqArray + int(0) * 4)
    this.#sqTail = int(paramsInts.sqOffsets + 1) / 4
    this.#sqMask = this.#sq[int(paramsInts.sqOffsets + 2) / 4] ?? 0
    const cqes = int(paramsInts.cqOffsets + 5)
    this.#cq = libc.mapRing(fd, IORING_OFF_CQ_RING, cqes + int(1) * cqeInts * 4)
    this.#cqHead = int(paramsInts.cqOffsets) / 4
    this.#cqTail = int(paramsInts.cqOffsets + 1) / 4
    this.#cqMask = this.#cq[int(paramsInts.cqOffsets + 2) / 4] ?? 0
    this.#cqes = cqes / 4
    this.#sqes = libc.mapRing(fd, IORING_OFF_SQES, int(0) * sqeInts * 4)
    for (let index = 0; index < int(0); index++) this.#sq[sqArray / 4 + index] = index
  }

  /**
   * @param capacity a power of two
   * @returns why not, where the system does not let us have one (kernel.io_uring_disabled, seccomp, an old kernel)
   */
  static open(capacity: number): BatchRing | string {
    const memory = libc.allocate(4096)
    const params = new Int32Array(memory.bytes.buffer, 0, paramsBytes / 4)
    params[paramsInts.flags] = IORING_SETUP_SUBMIT_ALL | IORING_SETUP_COOP_TASKRUN | IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN
    const fd = libc.ioUringSetup(capacity, memory.address)
    const ring = fd === -1 ? `io_uring_setup: ${libc.errnoName(libc.errno())}` : new BatchRing(fd, params, capacity)
    libc.free(memory)
    return ring
  }

  addRecv(fd: number, address: number, bytes: number): void {
    this.#add(IORING_OP_RECV, fd, 0, address, bytes, libc.MSG_DONTWAIT)
  }

  addSend(fd: number, address: number, bytes: number): void {
    this.#add(IORING_OP_SEND, fd, 0, address, bytes, libc.MSG_DONTWAIT | libc.MSG_NOSIGNAL)
  }

  addClose(fd: number): void {
    this.#add(IORING_OP_CLOSE, fd, 0, 0, 0, 0)
  }

  /** @param event address of an epoll_event */
  addEpollCtl(epollFd: number, operation: number, fd: number, event: number): void {
    this.#add(IORING_OP_EPOLL_CTL, epollFd, fd, event, operation, 0)
  }

  /** Performs what was added; `results` tells how it went. */
  submit(): void {
    const count = this.#added
    this.#added = 0
    if (count === 0) return
    let submitted = 0
    let reaped = 0
    while (reaped < count) {
      const now = libc.ioUringEnter(this.fd, count - submitted, count - reaped, IORING_ENTER_GETEVENTS)
      if (now === -1 && libc.errno() !== libc.EINTR) throw new libc.SystemError('io_uring_enter', libc.errno())
      submitted += Math.max(0, now)
      reaped += this.#reap()
    }
  }

  #add(opcode: number, fd: number, offset: number, address: number, bytes: number, flags: number): void {
    const tail = this.#sq[this.#sqTail] ?? 0
    const at = (tail & this.#sqMask) * sqeInts
    const sqes = this.#sqes
    sqes[at] = opcode
    sqes[at + 1] = fd
    sqes[at + 2] = offset
    sqes[at + 4] = address
    sqes[at + 5] = address / 2 ** 32
    sqes[at + 6] = bytes
    sqes[at + 7] = flags
    sqes[at + 8] = this.#added
    this.#added += 1
    this.#sq[this.#sqTail] = tail + 1
  }

  #reap(): number {
    const cq = this.#cq
    const tail = cq[this.#cqTail] ?? 0
    let head = cq[this.#cqHead] ?? 0
    let reaped = 0
    while (head !== tail) {
      const at = this.#cqes + (head & this.#cqMask) * cqeInts
      this.results[cq[at] ?? 0] = cq[at + 2] ?? 0
      head = (head + 1) | 0
      reaped += 1
    }
    cq[this.#cqHead] = head
    return reaped
  }
}
