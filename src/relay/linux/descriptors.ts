// Every descriptor that a worker has opened, in memory that it shares with the main thread: should the worker die without a
// word (out of memory), the main thread closes them, and nothing leaks.
//
//   Int32, each a descriptor plus one, or 0: two for each slot │ two for each pipe │ those just accepted │ the epoll instance │ the io_uring │ the kernel lane's

import { newcomersTogetherMax } from '../../core/limit/setup-slice.ts'
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
  /** Accepted, and not among the connections yet. */
  readonly accepted: Int32Array<SharedArrayBuffer>
  readonly epoll: Int32Array<SharedArrayBuffer>
  readonly ring: Int32Array<SharedArrayBuffer>
  /** After the connections in it: a socket that is closed leaves the lane. */
  readonly lane: Int32Array<SharedArrayBuffer>
}

/** By kind, in their order. */
function countsFor(slots: number): Record<keyof WorkerDescriptors, number> {
  return { connections: 2 * slots, pipes: 2 * pipesMax, accepted: newcomersTogetherMax, epoll: 1, ring: 1, lane: laneDescriptorsMax }
}

export function createDescriptors(slots: number): SharedArrayBuffer {
  const count = Object.values(countsFor(slots)).reduce((sum, each) => sum + each, 0)
  return new SharedArrayBuffer(count * Int32Array.BYTES_PER_ELEMENT)
}

export function descriptorsIn(buffer: SharedArrayBuffer, slots: number): WorkerDescriptors {
  const counts = countsFor(slots)
  let at = 0
  const next = (count: number): Int32Array<SharedArrayBuffer> => {
    const part = new Int32Array(buffer, at, count)
    at += part.byteLength
    return part
  }
  return { connections: next(counts.connections), pipes: next(counts.pipes), accepted: next(counts.accepted), epoll: next(counts.epoll), ring: next(counts.ring), lane: next(counts.lane) }
}

/** Of a worker that has ended, or is dead. Its connections are reset, so that clients come again at once. */
export function closeDescriptors({ connections, pipes, accepted, epoll, ring, lane }: WorkerDescriptors): void {
  for (const all of [connections, accepted, pipes, epoll, ring, lane]) {
    for (const [index, each] of all.entries()) {
      if (each === 0) continue
      if (all === connections || all === accepted) setResetOnClose(each - 1)
      close(each - 1)
      all[index] = 0
    }
  }
}
