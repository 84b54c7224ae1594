// Closing many connections over a while instead of at once, so that those who come back do not come together.

/** Of so many, those that must be closed by now: evenly over the window, the last one at its end. */
export function dueCount(count: number, { elapsedMs, overMs }: { readonly elapsedMs: number; readonly overMs: number }): number {
  if (overMs <= 0 || elapsedMs >= overMs) return count
  return Math.max(0, Math.floor(count * elapsedMs / overMs))
}

/** The golden ratio's: multiples of it, less their whole parts, are spread over 0 to 1 as evenly as can be, however many there are. */
const goldenShare = 0.618_033_988_749_895

/**
 * When a gateway that drains closes a connection that has not ended by itself: nobody in the first half of `drainTimeoutMs`, then one after the other.
 * @param number the connection's among its thread's: 1, 2, …
 */
export function drainDeadlineMs(drainSinceMs: number, number: number, { drainTimeoutMs }: { readonly drainTimeoutMs: number }): number {
  return drainSinceMs + drainTimeoutMs * (1 - number * goldenShare % 1 / 2)
}
