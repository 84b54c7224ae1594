// Peers whose host has vanished are noticed in seconds, where the system's own defaults are two hours for a silent connection and
// a quarter of an hour for one with bytes in flight.
//
//   nothing in flight ─▶ keepalive: probes after 2 or 3 s of silence, seven of them a second apart
//   bytes in flight   ─▶ on Linux: its table of sockets is looked at every few seconds; sent again, and nothing heard
//                        for `silenceMsMax` ─▶ ended with ETIMEDOUT, as the system itself would
//
// A client's path may be away for longer than an API server's (core/peer-silence.ts): it has more probes, and more time.
//
// TCP_USER_TIMEOUT would do the second, but Node has no access to it, and it would also end a connection whose reader is alive and has
// stopped reading. The table is read only while there is a connection that has moved bytes and then fell silent, and for no more than a
// fiftieth of the time, unless that made looks too rare.
//
// Probes can get lost on our own machine: Linux collects timers of seconds into batches, so the probes of thousands of connections
// that fell silent together leave at one moment, and a queue (net.core.netdev_max_backlog, 1,000 packets; a device's txqueuelen)
// drops what exceeds it, mostly the same ones each time. After 4 to 6 s of silence seven probes were not enough for some of 4,000
// connections. So no timer is of more than two seconds once the first probe was answered: their batches are of a thirtieth or a
// sixteenth of a second, those of 4 s of a quarter or half a second. And connections take turns, in which their timer is set
// anew: those that heard something at one moment part again. (The Linux driver's sockets are asked one by one, which has
// no such limit: relay/linux/peer-watch.ts.)

import type { Socket } from 'node:net'
import { canonicalAddress } from '../../core/net/ip-address.ts'
import { socketPair } from '../../core/net/proc-net-tcp.ts'
import { clientSilenceMs } from '../../core/peer-silence.ts'
import { readWaitingSockets } from './waiting-sockets.ts'

/** Of silence, until the first probe: the one from one turn to the next, and then the other, since only another one is set. */
const delaysMs = [3_000, 2_000] as const
/** Between probes. */
const intervalMs = 1_000
/** Of 4 s in all. */
const turns = 64
const turnMs = 62.5

const lookIntervalMs = 3_000
/** Of the time, that looks may take: one in so many, */
const lookShare = 50
/** but no rarer than this, where a busy machine makes them take long: 15 s are what is promised. */
const lookIntervalMsMax = 5_000
/**
 * After `count` probes without an answer it is gone: 9 to 11 s, and a client 50 to 64, since each turn moves the
 * next one; and what the system's timers take. Node before 26.4 has ten for all: 12 to 14 s.
 * `silenceMsMax`: since anything was heard of it, while it is sent the same bytes again.
 */
const patience = {
  endpoint: { count: 7, silenceMsMax: 9_000 },
  client: { count: 60, silenceMsMax: clientSilenceMs },
} as const

interface Watched {
  readonly patience: typeof patience[keyof typeof patience]
  /** At the last look. */
  bytesRead: number
  bytesWritten: number
  /** Nothing has moved since a look that found nothing in flight. */
  isSettled: boolean
  heardMs: number
}

export class PeerWatch {
  readonly #sockets = new Map<Socket, Watched>()
  readonly #byTurn = Array.from({ length: turns }, () => new Set<Socket>())
  #watched = 0
  #turn = 0
  #timer: NodeJS.Timeout | undefined
  #turning: NodeJS.Timeout | undefined
  #lookedMs = 0

  /** The socket is connected. Turns keepalive on. */
  watch(socket: Socket, peer: keyof typeof patience = 'endpoint'): void {
    this.#watched += 1
    this.#byTurn[this.#watched % turns]?.add(socket)
    this.#turning ??= setInterval(() => this.#takeTurn(), turnMs).unref()
    this.#sockets.set(socket, { patience: patience[peer], bytesRead: 0, bytesWritten: 0, isSettled: false, heardMs: performance.now() })
    if (this.#timer === undefined) this.#wait(lookIntervalMs)
  }

  #takeTurn(): void {
    this.#turn += 1
    const sockets = this.#byTurn[this.#turn % turns]
    const delayMs = delaysMs[Math.floor(this.#turn / turns) % delaysMs.length]
    for (const socket of sockets ?? []) {
      if (socket.destroyed) sockets?.delete(socket)
      else socket.setKeepAlive(true, delayMs, intervalMs, this.#sockets.get(socket)?.patience.count)
    }
    if (this.#byTurn.some((each) => each.size > 0)) return
    clearInterval(this.#turning)
    this.#turning = undefined
  }

  #wait(ms: number): void {
    this.#timer = setTimeout(() => void this.#look(), ms)
    this.#timer.unref()
  }

  async #look(): Promise<void> {
    const beganMs = performance.now()
    const suspects: [Socket, Watched][] = []
    for (const [socket, watched] of this.#sockets) {
      const { bytesRead, bytesWritten } = socket
      if (socket.destroyed) this.#sockets.delete(socket)
      else if (bytesRead !== watched.bytesRead) Object.assign(watched, { bytesRead, bytesWritten, isSettled: false, heardMs: beganMs })
      else if (bytesWritten !== watched.bytesWritten || !watched.isSettled) {
        // It may have gone while nothing was in flight: then it has its patience for both. Silence that was none must not end who is alive.
        if (watched.isSettled) watched.heardMs = this.#lookedMs
        suspects.push([socket, Object.assign(watched, { bytesWritten })])
      }
    }
    this.#lookedMs = beganMs
    const waiting = suspects.length === 0 ? undefined : await readWaitingSockets()
    for (const [socket, watched] of suspects) {
      const inVain = waiting === undefined || waiting.size === 0 ? undefined : waiting.get(pairOf(socket))
      watched.isSettled = inVain === undefined
      if (inVain !== true) watched.heardMs = beganMs
      else if (beganMs - watched.heardMs > watched.patience.silenceMsMax) socket.destroy(Object.assign(new Error('nothing was acknowledged any more'), { code: 'ETIMEDOUT' }))
    }
    if (this.#sockets.size === 0) this.#timer = undefined
    else this.#wait(Math.min(lookIntervalMsMax, Math.max(lookIntervalMs, lookShare * (performance.now() - beganMs))))
  }
}

function pairOf({ localAddress, localPort, remoteAddress, remotePort }: Socket): string {
  return socketPair({ address: canonical(localAddress), port: localPort ?? 0 }, { address: canonical(remoteAddress), port: remotePort ?? 0 })
}

/** Without the zone that a link-local address has. */
function canonical(address = ''): string {
  return canonicalAddress(address.replace(/%.*$/, '')) ?? ''
}
