// Every descriptor that a thread's stream sockets have opened, in memory that it shares with the main thread: should it die, the
// main thread closes them. Nothing here needs the FFI.

import { closeSync } from 'node:fs'

/** Sockets and listeners of one thread, and its epoll instance. */
const streamDescriptorsMax = 65_536

/** Each a descriptor plus one, or 0. */
export type StreamDescriptors = Int32Array<SharedArrayBuffer>

export function createStreamDescriptors(): StreamDescriptors {
  return new Int32Array(new SharedArrayBuffer(streamDescriptorsMax * Int32Array.BYTES_PER_ELEMENT))
}

/** Of a thread that has ended. */
export function closeStreamDescriptors(descriptors: StreamDescriptors): void {
  for (const [index, each] of descriptors.entries()) {
    if (each === 0) continue
    closeSync(each - 1)
    descriptors[index] = 0
  }
}
