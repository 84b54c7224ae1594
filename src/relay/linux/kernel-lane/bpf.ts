// bpf(2) as the kernel lane needs it: maps, programs, and why they are not to be had. Descriptors from it are closed on
// exec, and nothing is pinned: maps and program are gone when the last process that has them ends, however it ends.

import * as libc from '../libc.ts'
import { instructionBytes } from './assembler.ts'

/** enum bpf_cmd in <linux/bpf.h>. */
const command = { mapCreate: 0, mapUpdate: 2, mapDelete: 3, programLoad: 5, programAttach: 8 } as const
/** enum bpf_map_type, and BPF_F_MMAPABLE. */
export const mapType = { hash: 1, array: 2, sockmap: 15, ringbuf: 27 } as const
export const mappable = 1 << 10
/** enum bpf_prog_type, and what it is attached as, enum bpf_attach_type. */
const programType = { socketFilter: 1, skSkb: 14 } as const
const BPF_SK_SKB_STREAM_VERDICT = 5
const BPF_ANY = 0

/** Of union bpf_attr, as far as it is written here. */
const attributeBytes = 128
const nameBytesMax = 15
const logBytes = 64 * 1024
const logTellsMax = 2_000

/** The lane can't be had, and why: for the log. */
export class LaneUnavailableError extends Error {
  readonly code = 'LANE_UNAVAILABLE'
}

export interface MapOptions {
  readonly type: number
  readonly keyBytes: number
  readonly valueBytes: number
  readonly entriesMax: number
  readonly flags?: number
}

/** The calls of one thread. */
export class Bpf {
  readonly #memory = libc.allocate(attributeBytes)
  readonly #view = new DataView(this.#memory.bytes.buffer)

  /**
   * @returns its descriptor
   * @throws {LaneUnavailableError}
   */
  createMap(name: string, { type, keyBytes, valueBytes, entriesMax, flags = 0 }: MapOptions): number {
    this.#clear()
    const view = this.#view
    for (const [index, value] of [type, keyBytes, valueBytes, entriesMax, flags].entries()) view.setUint32(4 * index, value, true)
    this.#writeName(28, name)
    return this.#check(this.#call(command.mapCreate), `a map (${name})`, '')
  }

  /**
   * @returns its descriptor
   * @throws {LaneUnavailableError}
   */
  loadProgram(name: string, type: keyof typeof programType, instructions: Uint8Array): number {
    const [code, licence] = [libc.allocate(instructions.byteLength), libc.allocate(8)]
    code.bytes.set(instructions)
    licence.bytes.set(Buffer.from('Apache\0'))
    try {
      const load = (log: libc.NativeMemory | undefined): number => {
        this.#clear()
        const view = this.#view
        view.setUint32(0, programType[type], true)
        view.setUint32(4, instructions.byteLength / instructionBytes, true)
        this.#writeAddress(8, code.address)
        this.#writeAddress(16, licence.address)
        if (log !== undefined) {
          view.setUint32(24, 1, true)
          view.setUint32(28, logBytes, true)
          this.#writeAddress(32, log.address)
        }
        this.#writeName(48, name)
        if (type === 'skSkb') view.setUint32(68, BPF_SK_SKB_STREAM_VERDICT, true)
        return this.#call(command.programLoad)
      }
      const fd = load(undefined)
      if (fd !== -1) return fd
      const error = libc.errno()
      // Again, for what the verifier says of it.
      const log = libc.allocate(logBytes)
      const again = load(log)
      const text = Buffer.from(log.bytes.buffer, log.bytes.byteOffset, Math.max(0, log.bytes.indexOf(0))).toString('latin1')
      libc.free(log)
      return again === -1 ? this.#refused(error, 'the program', text) : again
    } finally {
      libc.free(code)
      libc.free(licence)
    }
  }

  /**
   * Sockets of the map are run through the program from the moment that they are in it.
   * @throws {LaneUnavailableError}
   */
  attach(programFd: number, mapFd: number): void {
    this.#clear()
    for (const [index, value] of [mapFd, programFd, BPF_SK_SKB_STREAM_VERDICT].entries()) this.#view.setUint32(4 * index, value, true)
    this.#check(this.#call(command.programAttach), 'to attach the program', '')
  }

  /** @param key and value: addresses. @returns 0 or -1 */
  update(mapFd: number, key: number, value: number): number {
    this.#clear()
    this.#view.setUint32(0, mapFd, true)
    this.#writeAddress(8, key)
    this.#writeAddress(16, value)
    this.#view.setUint32(24, BPF_ANY, true)
    return this.#call(command.mapUpdate)
  }

  /** @param key its address. @returns 0 or -1 */
  delete(mapFd: number, key: number): number {
    this.#clear()
    this.#view.setUint32(0, mapFd, true)
    this.#writeAddress(8, key)
    return this.#call(command.mapDelete)
  }

  #call(which: number): number {
    return libc.bpf(which, this.#memory.address, attributeBytes)
  }

  #clear(): void {
    this.#memory.bytes.fill(0, 0, attributeBytes)
  }

  #writeAddress(at: number, address: number): void {
    this.#view.setUint32(at, address % 2 ** 32, true)
    this.#view.setUint32(at + 4, Math.floor(address / 2 ** 32), true)
  }

  #writeName(at: number, name: string): void {
    this.#memory.bytes.set(Buffer.from(name.slice(0, nameBytesMax), 'latin1'), at)
  }

  #check(result: number, what: string, log: string): number {
    return result === -1 ? this.#refused(libc.errno(), what, log) : result
  }

  #refused(error: number, what: string, log: string): never {
    const said = log === '' ? '' : `; the verifier said: ${log.slice(-logTellsMax).trim()}`
    throw new LaneUnavailableError(`the kernel refuses ${what}: ${libc.errnoName(error)}: ${reasonOf(error)}${said}`)
  }
}

function reasonOf(error: number): string {
  switch (error) {
    case libc.EPERM: return 'it takes CAP_BPF and CAP_NET_ADMIN (and a kernel that is not locked down, and no seccomp profile that forbids bpf(2))'
    case libc.ENOSYS: return 'it was built without bpf(2)'
    case libc.EINVAL: return 'it knows no such map or program: expected Linux 5.15 or newer with CONFIG_BPF_STREAM_PARSER'
    case libc.ENOMEM: return 'there is no memory for it'
    default: return 'expected Linux 5.15 or newer'
  }
}
