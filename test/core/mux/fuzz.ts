#!/usr/bin/env node
// npm run test:fuzz:mux [FRAMES [SEED]]: frames that are plausible, and then damaged, into sessions that echo. Whatever comes,
// a session goes on or ends for a reason, nothing throws, and memory stays flat.

import { headerBytes, encodeHeader } from '../../../src/core/mux/frame.ts'
import { MuxSession } from '../../../src/core/mux/session.ts'
import type { MuxStream, StreamHandler } from '../../../src/core/mux/stream.ts'
import { WindowBudget } from '../../../src/core/mux/window.ts'

/** mulberry32: small, and the same everywhere. */
function generator(seed: number): () => number {
  let state = seed
  return () => {
    state = state + 0x6d2b79f5 | 0
    let mixed = Math.imul(state ^ state >>> 15, 1 | state)
    mixed = mixed + Math.imul(mixed ^ mixed >>> 7, 61 | mixed) ^ mixed
    return ((mixed ^ mixed >>> 14) >>> 0) / 2 ** 32
  }
}

export interface FuzzResult {
  readonly sessions: number
  readonly ends: Readonly<Record<string, number>>
  /** Growth windows took and did not give back, when all sessions had ended. */
  readonly budgetLeftBytes: number
}

export function fuzz(frames: number, seed: number, progress: (frames: number) => void = () => undefined): FuzzResult {
  const random = generator(seed)
  const below = (limit: number): number => Math.floor(random() * limit)
  const budget = new WindowBudget()
  const ends: Record<string, number> = {}
  let sessions = 0
  let session: MuxSession | undefined
  let nowMs = 0
  let nextId = 0
  const begin = (): MuxSession => {
    sessions += 1
    const opened = (stream: MuxStream): StreamHandler | undefined => random() < 0.1 ? undefined : {
      data: (bytes) => {
        if (random() < 0.9) stream.write(Buffer.from(bytes))
        if (random() < 0.9) stream.consumed(bytes.length)
      },
      finished: () => stream.finish(),
      reset: () => undefined,
      writable: () => undefined,
    }
    const role = random() < 0.5 ? 'client' : 'server'
    // The peer's: of the other parity.
    nextId = role === 'client' ? 0 : -1
    return new MuxSession({ role, budget, nowMs, random, handler: {
      opened, spent: () => undefined, sendable: () => undefined, goingAway: () => undefined,
      ended: (end) => {
        ends[end.reason] = (ends[end.reason] ?? 0) + 1
      },
    } })
  }
  for (let frame = 0; frame < frames; frame++) {
    if (session === undefined || session.end !== undefined || random() < 0.000_1) {
      session?.close('enough')
      session = begin()
    }
    nowMs += below(5)
    const type = [0, 0, 1, 1, 1, 2, 3][below(7)] ?? 0
    const payload = type === 0 ? Buffer.alloc(below(random() < 0.1 ? 3_000 : 50), frame) : Buffer.alloc(0)
    const bytes = Buffer.alloc(headerBytes + payload.length)
    const goAway = random() < 0.99 ? 0 : below(4)
    const opens = type < 2 && (nextId < 1 || random() < 0.3)
    if (opens) nextId += 2
    const streamId = type < 2 ? opens ? nextId : Math.max(2 - nextId % 2, nextId - 2 * below(20)) : 0
    const flags = opens ? 1 : type < 2 ? [0, 0, 0, 0, 2, 4, 4, 8, 12, 6][below(10)] ?? 0 : 1 + below(2)
    encodeHeader(bytes, 0, { type, flags, streamId, length: type === 0 ? payload.length : type === 3 ? goAway : below(70_000) })
    bytes.set(payload, headerBytes)
    for (let damage = random() < 0.005 ? 1 + below(3) : 0; damage > 0; damage--) bytes[below(bytes.length)] = below(256)
    const cut = below(bytes.length + 1)
    session.receive(bytes.subarray(0, cut), nowMs)
    session.receive(bytes.subarray(cut), nowMs)
    session.tick(nowMs)
    for (let sent = below(6); sent > 0 && session.nextFrame(nowMs) !== undefined; sent--);
    if (frame % 100_000 === 0) progress(frame)
  }
  session?.close('enough')
  return { sessions, ends, budgetLeftBytes: budget.usedBytes }
}

if (import.meta.main) {
  const [frames = 1_000_000, seed = Date.now() % 2 ** 31] = process.argv.slice(2).map(Number)
  process.stdout.write(`seed ${seed}\n`)
  const result = fuzz(frames, seed, (done) => {
    globalThis.gc?.()
    process.stdout.write(`${done} frames, heap ${(process.memoryUsage().heapUsed / 1e6).toFixed(1)} MB\n`)
  })
  process.stdout.write(`${JSON.stringify(result)}\n`)
}
