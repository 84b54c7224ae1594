// Every descriptor that a worker has opened, in memory that it shares with the main thread: should the worker die without a
// word (out of memory), the main thread closes them, and nothing leaks.
//
//   Int32, each a descriptor plus one, or 0: two for each slot │ two for each pipe │ the epoll instance │ the io_uring │ the kernel lane's

import { laneDescriptorsMax } from './kernel-lane/lane-maps.ts'
import { close, setResetOnClose } from './libc.ts'

/** Of one worker, at one time. */
export const pipesMax = 32
/** Of all workers: two descriptors each, out of those that are kept back from connections. */
export const pipesOfAllMax = 48

export interface WorkerDescriptors {
  /** By token of the table. */
  readonly connections: Int32Array<SharedArrayBuffer>
  /** By pipe: its reading end, then its writing end. */
  readonly pipes: Int32Array<SharedArrayBuffer>
  readonly epoll: Int32Array<SharedArrayBuffer>
  readonly ring: Int32Array<SharedArrayBuffer>
  /** After the connections in it: a socket that is closed leaves the lane. */
  readonly lane: Int32Array<SharedArrayBuffer>
}

export function createDescriptors(slots: number): SharedArrayBuffer {
  return new SharedArrayBuffer((2 * slots + 2 * pipesMax + 2 + laneDescriptorsMax) * Int32Array.BYTES_PER_ELEMENT)
}

export function descriptorsIn(buffer: SharedArrayBuffer, slots: number): WorkerDescriptors {
  const bytes = Int32Array.BYTES_PER_ELEMENT
  return {
    connections: new Int32Array(buffer, 0, 2 * slots),
    pipes: new Int32Array(buffer, 2 * slots * bytes, 2 * pipesMax),
    epoll: new Int32Array(buffer, (2 * slots + 2 * pipesMax) * bytes, 1),
    ring: new Int32Array(buffer, (2 * slots + 2 * pipesMax + 1) * bytes, 1),
    lane: new Int32Array(buffer, (2 * slots + 2 * pipesMax + 2) * bytes, laneDescriptorsMax),
  }
}

/** Of a worker that has ended, or is dead. Its connections are reset, so that clients come again at once. */
export function closeDescriptors({ connections, pipes, epoll, ring, lane }: WorkerDescriptors): void {
  for (const all of [connections, pipes, epoll, ring, lane]) {
    for (const [index, each] of all.entries()) {
      if (each === 0) continue
      if (all === connections) setResetOnClose(each - 1)
      close(each - 1)
      all[index] = 0
    }
  }
}
