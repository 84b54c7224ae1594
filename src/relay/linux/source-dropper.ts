// Throws away SYNs to one listening socket from sources that are dropped (core/limit/source-drops.ts), by a filter on it
// (source-filter.ts). While nobody is dropped there is none.
//
//   nobody ─a period begins─▶ filter ─others begin, or end: at most each `rebuildMs`─▶ another filter ─the last one ends─▶ nobody
//
// Sockets that are accepted have the listening one's filter of the moment in which their handshake ended, and are rid of it.

import { SourceDrops, type SourceDrop } from '../../core/limit/source-drops.ts'
import type { SourceDropRule } from '../../core/limit/limits.ts'
import type { SourceKey } from '../../core/net/source-key.ts'
import { relayCell, type RelayCells } from '../../core/relay-cells.ts'
import * as libc from './libc.ts'
import type { Clock } from './pending-bytes.ts'
import { sourceFilter } from './source-filter.ts'

/** To make a filter and attach it takes some 0.2 ms, in which nothing is relayed. */
const rebuildMs = 50
/** A handshake that began to end with the filter has ended after so long. */
const inheritedMs = 100

export interface SourceDropperParts {
  readonly clock: Clock
  readonly cells: RelayCells
  /** The kernel takes no filter: nobody is dropped any more. */
  readonly failed: (error: Error) => void
}

export class SourceDropper {
  readonly #fd: number
  readonly #parts: SourceDropperParts
  /** Absent: nobody was refused yet. */
  #drops: SourceDrops | undefined
  /** For those who are dropped. */
  #rule: SourceDropRule | undefined
  #isAttached = false
  #isOutdated = false
  #isImpossible = false
  #countedSources = 0
  #rebuildAtMs = -Infinity
  /** Of sockets that are accepted; Infinity: none has a filter. */
  #detachedAtMs: number

  /** @param fd whose filter is a predecessor's, if it has one */
  constructor(fd: number, parts: SourceDropperParts) {
    this.#fd = fd
    this.#parts = parts
    libc.detachFilter(fd)
    this.#detachedAtMs = parts.clock.nowMs
  }

  /** A socket that is accepted may have the filter. */
  get isInherited(): boolean {
    return this.#detachedAtMs !== Infinity
  }

  /** Of this source a connection was refused for its rate. @returns that it is dropped from now on */
  refused(source: SourceKey, rule: SourceDropRule): SourceDrop | undefined {
    const { clock, cells } = this.#parts
    this.#drops ??= new SourceDrops()
    this.#rule = rule
    const drop = this.#drops.refused(source, rule, clock.nowMs)
    if (drop === undefined) return undefined
    if (drop === 'full' || this.#isImpossible) {
      add(cells, relayCell.sourceDropsMissed, 1)
      return undefined
    }
    this.#isOutdated = true
    add(cells, relayCell.sourceDrops, 1)
    return drop
  }

  /** The listener's rule from now on. */
  follow(rule: SourceDropRule | undefined): void {
    const before = this.#rule
    if (rule?.bans === before?.bans && rule?.pace.intervalNs === before?.pace.intervalNs && rule?.pace.toleranceNs === before?.pace.toleranceNs) return
    this.close()
  }

  /** Its queue was found empty. */
  emptied(): void {
    if (!this.#isAttached && this.#parts.clock.nowMs - this.#detachedAtMs >= inheritedMs) this.#detachedAtMs = Infinity
  }

  /** Until `finishTurn` has something to do. */
  get waitMs(): number {
    if (this.#drops === undefined || this.#isImpossible) return Infinity
    const dueMs = this.#isOutdated ? 0 : this.#drops.nextEndMs
    return Math.max(0, Math.max(dueMs, this.#rebuildAtMs) - this.#parts.clock.nowMs)
  }

  finishTurn(): void {
    const { nowMs } = this.#parts.clock
    if (this.#drops === undefined || this.#isImpossible || nowMs < this.#rebuildAtMs) return
    const hasEnded = this.#drops.letGo(nowMs)
    if (!hasEnded && !this.#isOutdated) return
    this.#isOutdated = false
    this.#rebuildAtMs = nowMs + rebuildMs
    this.#filter(this.#drops)
  }

  /** Nobody is dropped. */
  close(): void {
    this.#drops = undefined
    this.#rule = undefined
    this.#isOutdated = false
    this.#detach()
  }

  #filter(drops: SourceDrops): void {
    for (let sources = drops.sources(); sources.length > 0; sources = drops.sources()) {
      const error = this.#attach(sourceFilter(sources))
      if (error === 0) {
        this.#isAttached = true
        this.#detachedAtMs = this.#parts.clock.nowMs
        this.#count(sources.length)
        return
      }
      const left = error === libc.ENOMEM ? sources.length >> 1 : 0
      add(this.#parts.cells, relayCell.sourceDropsMissed, sources.length - left)
      drops.limit(left)
      if (error !== libc.ENOMEM) {
        this.#isImpossible = true
        this.#parts.failed(new libc.SystemError('setsockopt of SO_ATTACH_FILTER', error))
      }
    }
    this.#detach()
  }

  /**
   * A socket may have so much memory for filters (net.core.optmem_max, 20 KiB before Linux 6.7), and while one is changed for another it has both.
   * @returns 0, or the errno
   */
  #attach(program: Uint8Array): number {
    if (libc.attachFilter(this.#fd, program) !== -1) return 0
    if (libc.errno() !== libc.ENOMEM || !this.#isAttached) return libc.errno()
    libc.detachFilter(this.#fd)
    return libc.attachFilter(this.#fd, program) === -1 ? libc.errno() : 0
  }

  #detach(): void {
    if (!this.#isAttached) return
    libc.detachFilter(this.#fd)
    this.#isAttached = false
    this.#detachedAtMs = this.#parts.clock.nowMs
    this.#count(0)
  }

  #count(sources: number): void {
    add(this.#parts.cells, relayCell.sourcesDropped, sources - this.#countedSources)
    this.#countedSources = sources
  }
}

function add(cells: RelayCells, cell: number, difference: number): void {
  cells[cell] = (cells[cell] ?? 0) + difference
}
