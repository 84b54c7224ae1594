// A process between the ends of a tunnel that passes on what it reads after a while, both ways, as a long path would: no limit on
// the rate, no loss. Each direction holds what is under way; a direction that holds its bound stops reading.
//
//   read ─▶ due at now + delay ─▶ … ─▶ written

import { connect, createServer, type Socket } from 'node:net'
import type { DelayRelayReply, DelayRelayRequest } from './delay.ts'

/** Of a direction: 40 ms of 3 GB/s, and more than any window here. */
const heldBytesMax = 128 * 1024 * 1024

class DelayedDirection {
  readonly #from: Socket
  readonly #to: Socket
  readonly #delayMs: number
  /** Without bytes: FIN. */
  #held: { readonly dueMs: number, readonly bytes: Buffer | undefined }[] = []
  /** The first of `#held` that is still to be written. */
  #first = 0
  #heldBytes = 0
  #timer: NodeJS.Timeout | undefined

  constructor(from: Socket, to: Socket, delayMs: number) {
    this.#from = from
    this.#to = to
    this.#delayMs = delayMs
    from.on('data', (bytes: Buffer) => this.#push(bytes))
    from.on('end', () => this.#push(undefined))
    to.on('drain', () => this.#pass())
  }

  stop(): void {
    clearTimeout(this.#timer)
    this.#held = []
  }

  #push(bytes: Buffer | undefined): void {
    this.#held.push({ dueMs: performance.now() + this.#delayMs, bytes })
    this.#heldBytes += bytes?.length ?? 0
    if (this.#heldBytes >= heldBytesMax) this.#from.pause()
    this.#timer ??= setTimeout(this.#pass, this.#delayMs)
  }

  readonly #pass = (): void => {
    clearTimeout(this.#timer)
    this.#timer = undefined
    const nowMs = performance.now()
    while (!this.#to.writableNeedDrain) {
      const next = this.#held[this.#first]
      if (next === undefined) break
      if (next.dueMs > nowMs) {
        this.#timer = setTimeout(this.#pass, next.dueMs - nowMs)
        break
      }
      this.#first += 1
      if (next.bytes === undefined) this.#to.end()
      else {
        this.#heldBytes -= next.bytes.length
        this.#to.write(next.bytes)
      }
    }
    this.#held.splice(0, this.#first)
    this.#first = 0
    if (this.#heldBytes < heldBytesMax / 2) this.#from.resume()
  }
}

async function listen({ targetPort, delayMs }: DelayRelayRequest): Promise<DelayRelayReply> {
  const server = createServer({ allowHalfOpen: true, noDelay: true }, (near) => {
    const far = connect({ port: targetPort, host: '127.0.0.1', allowHalfOpen: true, noDelay: true })
    const directions = [new DelayedDirection(near, far, delayMs), new DelayedDirection(far, near, delayMs)]
    for (const [one, other] of [[near, far], [far, near]] as const) {
      // What went wrong shows in how it closes.
      one.on('error', () => undefined)
      one.on('close', (hadError) => {
        // One that has ended both ways may leave bytes behind that are still under way to the other.
        if (!hadError && one.readableEnded && one.writableFinished) return
        for (const direction of directions) direction.stop()
        other.resetAndDestroy()
      })
    }
  })
  return await new Promise((resolve, reject) => {
    server.once('error', reject)
    server.listen({ port: 0, host: '127.0.0.1' }, () => {
      const address = server.address()
      resolve({ port: typeof address === 'object' && address !== null ? address.port : 0 })
    })
  })
}

async function answer(request: DelayRelayRequest): Promise<void> {
  process.send?.(await listen(request))
}

// What is thrown ends the process, and the parent says so.
process.on('message', (request: DelayRelayRequest) => void answer(request))
process.on('SIGINT', () => undefined)
process.once('disconnect', () => process.exit(0))
