// Every bound of a session, with its default, and what a session counts when one bites.

export interface MuxLimits {
  /** Streams of the peer's at one time; more are reset. @default 4_096 */
  readonly streamsMax: number
  /** Our streams that the peer has not acknowledged; yamux's own default, beyond which a peer resets. @default 256 */
  readonly unacknowledgedMax: number
  /** A stream's window never grows beyond it. @default 16 MiB */
  readonly windowBytesMax: number
  /** Bytes that a stream has to send, at which its writer should pause. @default 128 KiB */
  readonly sendHighWaterBytes: number
  /** … and below which it is told to go on. @default 32 KiB */
  readonly sendLowWaterBytes: number
  /** Payload of a frame. @default 64 KiB */
  readonly frameBytesMax: number
  /** … while another stream waits. @default 16 KiB */
  readonly sharedFrameBytesMax: number
  /** Answers to pings, resets and go-aways that wait to be sent. @default 4_096 */
  readonly controlFramesMax: number
  /** Pings are sent so often, ±20 %. @default 15 s */
  readonly pingIntervalMs: number
  /** Nothing heard for so long ends the session. @default 35 s */
  readonly silenceMs: number
  /** After our go-away, streams that the peer opened before it heard of it are still taken for so long. @default 5 s */
  readonly goAwayGraceMs: number
  /** What the peer may do in a second, and at once: beyond that the session ends. */
  readonly rates: Readonly<Record<FloodKind, { readonly perSecond: number; readonly burst: number }>>
}

/**
 * - opens: streams begun by the peer
 * - resets: streams reset by the peer, and those that it makes us reset (CVE-2023-44487, CVE-2025-8671)
 * - pings: pings that want an answer
 * - empty: frames that carry nothing: no data, no credit, no flag
 * - updates: window updates, by which a peer could make us work for no data of ours
 */
export type FloodKind = 'opens' | 'resets' | 'pings' | 'empty' | 'updates'

export const muxLimits: MuxLimits = {
  streamsMax: 4_096,
  unacknowledgedMax: 256,
  windowBytesMax: 16 * 1024 * 1024,
  sendHighWaterBytes: 128 * 1024,
  sendLowWaterBytes: 32 * 1024,
  frameBytesMax: 64 * 1024,
  sharedFrameBytesMax: 16 * 1024,
  controlFramesMax: 4_096,
  pingIntervalMs: 15_000,
  silenceMs: 35_000,
  goAwayGraceMs: 5_000,
  rates: {
    opens: { perSecond: 20_000, burst: 20_000 },
    // Clients may end every connection by a reset, so honest ones come as fast as streams are served: by a thread that does nothing else 6,600 a second
    // (150 µs of CPU each, 3,700 with both ends on two cores). Streams that are opened only to be reset cost 75 µs with their dial: a thread could
    // be had by 13,000 a second. How many are under way is bounded by `streamsMax`, which a reset does not undo.
    resets: { perSecond: 10_000, burst: 10_000 },
    pings: { perSecond: 10, burst: 100 },
    empty: { perSecond: 100, burst: 1_000 },
    updates: { perSecond: 100_000, burst: 100_000 },
  },
}

/** Why a session has ended. */
export type SessionEnd =
  /** Whoever has it closed it, or its connection ended. */
  | { readonly reason: 'closed'; readonly detail: string }
  /** Nothing was heard for `silenceMs`. */
  | { readonly reason: 'silent' }
  /** The peer broke the protocol. */
  | { readonly reason: 'protocol-error'; readonly detail: string }
  /** The peer did more than `rates` allow, or does not read what it makes us answer. */
  | { readonly reason: 'flood'; readonly kind: FloodKind | 'control' | 'stray' }
  /** The peer said that it goes, for a fault that it found. */
  | { readonly reason: 'peer-error'; readonly code: number }

export interface MuxCounters {
  streamsOpened: number
  streamsAccepted: number
  /** Streams of the peer's over `streamsMax`, or after our go-away. */
  streamsRefused: number
  resetsReceived: number
  resetsSent: number
  bytesReceived: number
  bytesSent: number
  framesReceived: number
  framesSent: number
  /** Payload for streams that are gone: what was under way when they were reset. */
  strayBytes: number
}

/** Adds to `into` what `counters` has. */
export function addMuxCounters(into: MuxCounters, counters: MuxCounters): void {
  for (const name of Object.keys(into) as (keyof MuxCounters)[]) into[name] += counters[name]
}

export function createMuxCounters(): MuxCounters {
  return {
    streamsOpened: 0, streamsAccepted: 0, streamsRefused: 0, resetsReceived: 0, resetsSent: 0,
    bytesReceived: 0, bytesSent: 0, framesReceived: 0, framesSent: 0, strayBytes: 0,
  }
}
