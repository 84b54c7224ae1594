// Pipes for splice(2): a bulky direction's bytes go from socket to socket through one, without ever being copied into this
// process. Making a pipe costs more than a bulky burst saves, so they are kept; there are few, since a direction that calms
// down gives its pipe back.

import type { WorkerDescriptors } from './descriptors.ts'
import { close, createPipe, F_SETPIPE_SZ, fcntl } from './libc.ts'

/** Asked of the system, which may give less to a user without CAP_SYS_RESOURCE (pipe(7), pipe-user-pages-soft). */
const pipeBytesWanted = 1024 * 1024
/** Empty ones that are kept for the next bulky direction. */
const pipesKeptMax = 2
/** What a new pipe has. */
const pipeBytesDefault = 64 * 1024

export class PipePool {
  readonly #descriptors: WorkerDescriptors['pipes']
  readonly #pipesMax: number
  readonly readFd: number[] = []
  readonly writeFd: number[] = []
  readonly capacity: number[] = []
  /** By pipe: bytes in it. */
  readonly bytes: number[] = []
  readonly #free: number[] = []
  readonly #closed: number[] = []

  /** @param pipesMax in use or kept at one time */
  constructor(descriptors: WorkerDescriptors['pipes'], pipesMax: number) {
    this.#descriptors = descriptors
    this.#pipesMax = pipesMax
  }

  /** An empty pipe, or -1 where there is none. */
  take(): number {
    const kept = this.#free.pop()
    if (kept !== undefined) return kept
    const pipe = this.#closed.pop() ?? this.readFd.length
    if (pipe === this.#pipesMax) return -1
    const made = createPipe()
    if (made === undefined) {
      if (pipe < this.readFd.length) this.#closed.push(pipe)
      return -1
    }
    const set = fcntl(made.writeFd, F_SETPIPE_SZ, pipeBytesWanted)
    this.readFd[pipe] = made.readFd
    this.writeFd[pipe] = made.writeFd
    this.#descriptors[2 * pipe] = made.readFd + 1
    this.#descriptors[2 * pipe + 1] = made.writeFd + 1
    this.capacity[pipe] = set === -1 ? pipeBytesDefault : set
    this.bytes[pipe] = 0
    return pipe
  }

  /** A pipe that still holds bytes is closed: nobody else may find them in it. */
  release(pipe: number): void {
    if ((this.bytes[pipe] ?? 0) === 0 && this.#free.length < pipesKeptMax) this.#free.push(pipe)
    else this.#close(pipe)
  }

  #close(pipe: number): void {
    this.#descriptors[2 * pipe] = this.#descriptors[2 * pipe + 1] = 0
    close(this.readFd[pipe] ?? -1)
    close(this.writeFd[pipe] ?? -1)
    this.#closed.push(pipe)
  }
}
