// The kernel lane's maps and program, with what user space and the program share as plain memory: no system call reads a
// counter or writes a budget. A connection in the lane has a place, and each of its sockets a mark: 2 × place, plus one for
// the upstream side.
//
//   lanes    cookie of a socket → mark      peers    mark → socket, for as long as it is in the lane
//   used     mark → what was moved          verdict  the same, of sockets that the program is run for
//   grants   mark → what may be moved       notices  a ring of marks that user space is to look at

import * as libc from '../libc.ts'
import { Bpf, LaneUnavailableError, mappable, mapType } from './bpf.ts'
import { grantAt, laneProgram, losingFilter, usedAt } from './program.ts'

/** BPF_F_NO_PREALLOC: entries take memory when there are some. */
const notPreallocated = 1
/** A record in the ring: its header, and a mark. */
const recordHeaderBytes = 8
const recordBytes = 16
/** Marks are told of twice in one stay at the most, and read each turn: a ring of four for each is never full. */
const noticesPerMark = 4
/** In a record's header (BPF_RINGBUF_BUSY_BIT): it is still being written. */
const recordBusy = 2 ** 31
const wordBytes = 4

/** Connections in one thread's lane: what its maps have room for, about 4 MiB. Those beyond go through epoll. */
const placesMax = 16_384
/** Their ring is a page. */
const placesMin = libc.pageBytes / (2 * noticesPerMark * recordBytes)

/** @param connections that the thread has room for. @returns a power of two */
export function lanePlacesFor(connections: number): number {
  return Math.min(placesMax, Math.max(placesMin, 2 ** Math.ceil(Math.log2(connections))))
}

/** Open descriptors of one lane: what `WorkerDescriptors` keeps room for. */
export const laneDescriptorsMax = 8

export class LaneMaps {
  /** Connections that have room. */
  readonly placesMax: number
  /** Readable while the program has told something. */
  readonly noticesFd: number
  /** What is open, for whoever has to close it should this thread die. */
  readonly fds: readonly number[]
  readonly #bpf: Bpf
  readonly #memories: libc.NativeMemory[] = []
  readonly #lanesFd: number
  readonly #peersFd: number
  readonly #verdictFd: number
  readonly #losingFd: number
  readonly #used: Uint32Array
  readonly #grants: Uint32Array
  readonly #consumed: BigUint64Array
  readonly #produced: Uint32Array
  readonly #records: Uint32Array
  readonly #recordsMask: number
  #consumedBytes = 0
  /** Of a map's update: cookie or mark, and its value. */
  readonly #key = libc.allocate(16)
  readonly #words = new Uint32Array(this.#key.bytes.buffer, 0, 4)

  /**
   * @param placesMax a power of two
   * @throws {LaneUnavailableError}
   */
  constructor(placesMax: number) {
    const marks = 2 * placesMax
    const ringBytes = marks * noticesPerMark * recordBytes
    const bpf = new Bpf()
    const fds: number[] = []
    const opened = (fd: number): number => {
      fds.push(fd)
      return fd
    }
    this.placesMax = placesMax
    this.#bpf = bpf
    this.fds = fds
    try {
      const lanes = opened(bpf.createMap('sluice_lanes', { type: mapType.hash, keyBytes: 8, valueBytes: wordBytes, entriesMax: marks, flags: notPreallocated }))
      const used = opened(bpf.createMap('sluice_used', { type: mapType.array, keyBytes: wordBytes, valueBytes: usedAt.bytes, entriesMax: marks, flags: mappable }))
      const grants = opened(bpf.createMap('sluice_grants', { type: mapType.array, keyBytes: wordBytes, valueBytes: grantAt.bytes, entriesMax: marks, flags: mappable }))
      const peers = opened(bpf.createMap('sluice_peers', { type: mapType.sockmap, keyBytes: wordBytes, valueBytes: 8, entriesMax: marks }))
      const notices = opened(bpf.createMap('sluice_notices', { type: mapType.ringbuf, keyBytes: 0, valueBytes: 0, entriesMax: ringBytes }))
      const verdict = opened(bpf.createMap('sluice_verdict', { type: mapType.sockmap, keyBytes: wordBytes, valueBytes: 8, entriesMax: marks }))
      const program = opened(bpf.loadProgram('sluice_verdict', 'skSkb', laneProgram({ lanes, used, grants, peers, notices })))
      bpf.attach(program, verdict)
      this.#losingFd = opened(bpf.loadProgram('sluice_losing', 'socketFilter', losingFilter({ lanes, used })))
      this.#lanesFd = lanes
      this.#peersFd = peers
      this.#verdictFd = verdict
      this.noticesFd = notices
      this.#used = wordsOf(this.#map(used, { offset: 0, byteLength: marks * usedAt.bytes, writable: true }))
      this.#grants = wordsOf(this.#map(grants, { offset: 0, byteLength: marks * grantAt.bytes, writable: true }))
      // One page that user space writes, then, for it to read only, one that the kernel writes, and the records.
      const consumer = this.#map(notices, { offset: 0, byteLength: libc.pageBytes, writable: true })
      const producer = wordsOf(this.#map(notices, { offset: libc.pageBytes, byteLength: libc.pageBytes + ringBytes, writable: false }))
      this.#consumed = new BigUint64Array(consumer.bytes.buffer, 0, 1)
      this.#produced = producer.subarray(0, 1)
      this.#records = producer.subarray(libc.pageBytes / wordBytes)
      this.#recordsMask = ringBytes - 1
    } catch (error) {
      this.close()
      throw error instanceof libc.SystemError ? new LaneUnavailableError(`the kernel lane's memory can not be mapped: ${error.message}`, { cause: error }) : error
    }
  }

  /** Modulo 2^32, as all counts here. Read before `redirected` it tells whether that is final. */
  passed(mark: number): number {
    return Atomics.load(this.#used, (mark * usedAt.bytes + usedAt.passed) / wordBytes)
  }

  redirected(mark: number): number {
    return Atomics.load(this.#used, (mark * usedAt.bytes + usedAt.redirected) / wordBytes)
  }

  messages(mark: number): number {
    return Atomics.load(this.#used, (mark * usedAt.bytes + usedAt.messages) / wordBytes)
  }

  /** Whether all further packets go to the socket's own queue. */
  stopped(mark: number): boolean {
    return Atomics.load(this.#used, (mark * usedAt.bytes + usedAt.stopped) / wordBytes) !== 0
  }

  /** `programFault`, or 0: from then on it passes what must go to nobody. */
  fault(mark: number): number {
    return Atomics.load(this.#used, (mark * usedAt.bytes + usedAt.fault) / wordBytes)
  }

  /** The packet with which the fault began. `ahead`: how far its first byte is above the one that had to come. */
  faultyPacket(mark: number): { readonly ahead: number; readonly byteLength: number } {
    const word = (at: number): number => Atomics.load(this.#used, (mark * usedAt.bytes + at) / wordBytes)
    return { ahead: (word(usedAt.faultSequence) - word(usedAt.next)) | 0, byteLength: word(usedAt.faultLength) }
  }

  /** Before the socket is in the lane. @param next the sequence number of what comes next */
  clear(mark: number, next: number): void {
    this.#used.fill(0, mark * usedAt.bytes / wordBytes, (mark + 1) * usedAt.bytes / wordBytes)
    Atomics.store(this.#used, (mark * usedAt.bytes + usedAt.next) / wordBytes, next)
  }

  /** @param budget of `redirected`; `notice`: what is left of it when user space is told */
  grant(mark: number, budget: number, notice: number): void {
    Atomics.store(this.#grants, (mark * grantAt.bytes + grantAt.notice) / wordBytes, notice)
    Atomics.store(this.#grants, (mark * grantAt.bytes + grantAt.budget) / wordBytes, budget)
  }

  /** From the next packet on. */
  revoke(mark: number): void {
    this.grant(mark, this.redirected(mark) - 1, 0)
  }

  /** Names the socket; not yet in the lane. @returns whether that was to be had */
  name(mark: number, fd: number): boolean {
    if (libc.readCookie(fd, this.#key.address) === -1) return false
    this.#words[2] = mark
    return this.#bpf.update(this.#lanesFd, this.#key.address, this.#key.address + 8) !== -1
  }

  unname(fd: number): void {
    if (libc.readCookie(fd, this.#key.address) !== -1) this.#bpf.delete(this.#lanesFd, this.#key.address)
  }

  /** Bytes may be redirected to it. */
  addPeer(mark: number, fd: number): boolean {
    return this.#addSocket(this.#peersFd, mark, fd)
  }

  /** The program is run for what comes to it. */
  addVerdict(mark: number, fd: number): boolean {
    return this.#addSocket(this.#verdictFd, mark, fd)
  }

  removePeer(mark: number): void {
    this.#removeSocket(this.#peersFd, mark)
  }

  removeVerdict(mark: number): void {
    this.#removeSocket(this.#verdictFd, mark)
  }

  removeVerdicts(place: number): void {
    this.removeVerdict(2 * place)
    this.removeVerdict(2 * place + 1)
  }

  /** FIN, and what is over `roomBytes`, does not come to the socket, until `loseNothing`. */
  lose(mark: number, fd: number, roomBytes: number): void {
    Atomics.store(this.#used, (mark * usedAt.bytes + usedAt.room) / wordBytes, roomBytes)
    libc.setIntOption(fd, libc.SOL_SOCKET, libc.SO_ATTACH_BPF, this.#losingFd)
  }

  loseNothing(fd: number): void {
    libc.detachFilter(fd)
  }

  /** @param tell of each mark that the program has told of since */
  readNotices(tell: (mark: number) => void): void {
    const before = this.#consumedBytes
    for (;;) {
      const waiting = (Atomics.load(this.#produced, 0) - this.#consumedBytes) >>> 0
      if (waiting < recordBytes) break
      const at = (this.#consumedBytes & this.#recordsMask) / wordBytes
      if (Atomics.load(this.#records, at) >= recordBusy) break
      const mark = this.#records[at + recordHeaderBytes / wordBytes] ?? 0
      this.#consumedBytes += recordBytes
      tell(mark)
    }
    if (this.#consumedBytes !== before) Atomics.store(this.#consumed, 0, BigInt(this.#consumedBytes))
  }

  /** Nothing of it may be called afterwards. */
  close(): void {
    for (const memory of this.#memories.splice(0)) libc.free(memory)
    for (const fd of this.fds) libc.close(fd)
  }

  #map(fd: number, part: Parameters<typeof libc.mapShared>[1]): libc.NativeMemory {
    const memory = libc.mapShared(fd, part)
    this.#memories.push(memory)
    return memory
  }

  #addSocket(map: number, mark: number, fd: number): boolean {
    this.#words[0] = mark
    this.#words[2] = fd
    this.#words[3] = 0
    return this.#bpf.update(map, this.#key.address, this.#key.address + 8) !== -1
  }

  #removeSocket(map: number, mark: number): void {
    this.#words[0] = mark
    this.#bpf.delete(map, this.#key.address)
  }
}

function wordsOf({ bytes }: libc.NativeMemory): Uint32Array {
  return new Uint32Array(bytes.buffer, 0, bytes.byteLength / wordBytes)
}
