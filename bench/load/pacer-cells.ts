// The memory that a pacer and its thread share.
//
//   byte 0   int32     state: waiting for the start, running, stopped
//   byte 4   int32     1: a tick has been sent and not been taken
//   byte 8   float64   when the first tick is due, milliseconds of Unix time, with fractions (threads' clocks differ in their origin)

export const pacerCells = {
  /** Indices among the 32-bit cells. */
  state: 0,
  pending: 1,
  /** Index among the 64-bit ones. */
  first: 1,
  byteLength: 16,
  /** Values of the state. */
  waiting: 0,
  running: 1,
  stopped: 2,
} as const
