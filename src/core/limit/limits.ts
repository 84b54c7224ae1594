// Limits on connections: as they are written, which is plain data, and as they are counted.

import { paceOf, type Pace, type RateSpec } from './shared-pace.ts'

/** Absent: none, but for what `Admission` says. */
export interface ProcessLimits {
  /** Open at one time, if descriptors are enough for so many. */
  readonly connectionsMax?: number
  /** Of these, without a whole hello. */
  readonly helloConnectionsMax?: number
  /** Of connections that a tenant was found for. */
  readonly rate?: RateSpec
}

/**
 * What becomes of a source's connections over its rate. Each is reset as it is accepted. With `drop`, once that has happened often enough the
 * source's SYNs are thrown away for a while, where the driver can; `ban`: longer each time (source-drops.ts).
 */
export const sourceExcesses = ['reset', 'drop', 'ban'] as const
export type SourceExcess = typeof sourceExcesses[number]

export interface ListenerLimits {
  readonly connectionsMax?: number
  readonly connectionsPerSourceMax?: number
  readonly rate?: RateSpec
  /** Of each source. */
  readonly sourceRate?: RateSpec
  /** @default reset */
  readonly sourceExcess?: SourceExcess
}

export interface TenantLimits {
  readonly connectionsMax?: number
  readonly connectionsPerSourceMax?: number
  readonly rate?: RateSpec
}

/** Of a listener or a tenant. */
export interface CountedLimits {
  readonly connectionsMax: number
  readonly connectionsPerSourceMax: number
  readonly pace: Pace | undefined
  readonly sourcePace: Pace | undefined
  /** Absent: sources are not dropped. */
  readonly sourceDrop: SourceDropRule | undefined
}

export interface SourceDropRule {
  readonly pace: Pace
  readonly bans: boolean
}

export function countedLimits({ connectionsMax = Infinity, connectionsPerSourceMax = Infinity, rate, sourceRate, sourceExcess = 'reset' }: ListenerLimits): CountedLimits {
  const sourcePace = sourceRate === undefined ? undefined : paceOf(sourceRate)
  return {
    connectionsMax, connectionsPerSourceMax, sourcePace,
    pace: rate === undefined ? undefined : paceOf(rate),
    sourceDrop: sourcePace === undefined || sourceExcess === 'reset' ? undefined : { pace: sourcePace, bans: sourceExcess === 'ban' },
  }
}
