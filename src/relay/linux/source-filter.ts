// What a listening socket's filter is made of that throws away SYNs from some sources: a program of classic BPF (<linux/filter.h>),
// for which no capability is needed. The kernel runs it for each packet to the listener, with the TCP header in front (tcp_filter in
// net/ipv4/tcp_ipv4.c), before it answers or keeps anything.
//
//   SYN, not ACK? ─▶ IPv4: source ────────────────────────┐
//        │       └─▶ IPv6: its first 32 bits ─▶ the next ─┴─ one of those? ─▶ thrown away
//        └──────── everything else ──────────────────────────────────────────▶ passed on
//
//   an instruction, 8 bytes: opcode, 16 bits │ if true, jump over 8 │ if not, 8 │ operand, 32      (little-endian)
//
// Jumps go forward only, and comparisons at most 255 instructions far. So it is written from its end: where a jump goes is there already.

import type { DroppedSource } from '../../core/limit/source-drops.ts'
import { filterInstructionBytes } from './libc.ts'

/** BPF_MAXINSNS; 256 sources take 1,300 at the most. */
const instructionsMax = 4_096
/** Where each program is written: it must not be moved or collected while the kernel reads it. */
const ints = new Int32Array(2 * instructionsMax)
/** A class, a size or comparison, and a mode or where the operand is. */
const opcode = { loadWord: 0x20, loadByte: 0x30, and: 0x54, jump: 0x05, jumpEqual: 0x15, jumpAtLeast: 0x35, return: 0x06 } as const
/** Of loads: where the network header begins, and the packet's protocol, which is beside it (SKF_NET_OFF, SKF_AD_OFF + SKF_AD_PROTOCOL). */
const networkHeader = -0x100000
const protocol = -0x1000
/** <linux/if_ether.h> */
const ipv4 = 0x0800
const ipv6 = 0x86dd
const ipv4SourceAt = 12
const ipv6SourceAt = 8
const tcpFlagsAt = 13
const flags = { syn: 0x02, ack: 0x10 } as const
/** So many are compared one by one, more are halved first. */
const comparedInRowMax = 4
const farthest = 255
const ifTrueAt = 16
const ifFalseAt = 24

/** @param sources none twice. @returns the program, until the next one is made */
export function sourceFilter(sources: readonly DroppedSource[]): Uint8Array {
  const program = new Program()
  const ofIpv6 = program.ipv6(sources)
  const ofIpv4 = program.ipv4(sources)
  program.return(-1)
  program.branch(opcode.jumpEqual, ipv6, ofIpv6)
  program.branch(opcode.jumpEqual, ipv4, ofIpv4)
  const ofSyn = program.put(opcode.loadWord, protocol)
  program.return(-1)
  program.branch(opcode.jumpEqual, flags.syn, ofSyn)
  program.put(opcode.and, flags.syn | flags.ack)
  program.put(opcode.loadByte, tcpFlagsAt)
  return program.bytes()
}

/** Each method writes in front of what there is, and returns the place of its first instruction. */
class Program {
  #first = instructionsMax

  ipv4(sources: readonly DroppedSource[]): number {
    const words = Uint32Array.from(sources.filter(({ isIpv6 }) => !isIpv6), ({ low }) => low).sort()
    this.#oneOf(words, { from: 0, to: words.length }, 'dropped')
    return this.put(opcode.loadWord, networkHeader + ipv4SourceAt)
  }

  ipv6(sources: readonly DroppedSource[]): number {
    const byHigh = Map.groupBy(sources.filter(({ isIpv6 }) => isIpv6), ({ high }) => high >>> 0)
    const highs = Uint32Array.from(byHigh.keys()).sort()
    this.#oneOf(highs, { from: 0, to: highs.length }, (high) => {
      const lows = Uint32Array.from(byHigh.get(high) ?? [], ({ low }) => low).sort()
      this.#oneOf(lows, { from: 0, to: lows.length }, 'dropped')
      return this.put(opcode.loadWord, networkHeader + ipv6SourceAt + 4)
    })
    return this.put(opcode.loadWord, networkHeader + ipv6SourceAt)
  }

  /** @param length of the packet that is left: 0 throws it away, -1 is all */
  return(length: 0 | -1): number {
    return this.put(opcode.return, length)
  }

  /** Goes to `place` if the comparison is true, and else to what follows. */
  branch(comparison: number, operand: number, place: number): number {
    const distance = place - this.#first
    if (distance <= farthest) return this.put(comparison, operand, distance << ifTrueAt)
    this.put(opcode.jump, distance)
    return this.put(comparison, operand, 1 << ifFalseAt)
  }

  /** @param jumps of a comparison: instructions that it goes over if it is true, and if not */
  put(code: number, operand: number, jumps = 0): number {
    this.#first -= 1
    ints[2 * this.#first] = code | jumps
    ints[2 * this.#first + 1] = operand
    return this.#first
  }

  bytes(): Uint8Array {
    return new Uint8Array(ints.buffer, this.#first * filterInstructionBytes)
  }

  /** The word that was loaded is looked for among some of these, which are sorted. @param found what follows if it is this one */
  #oneOf(words: Uint32Array, { from, to }: { readonly from: number; readonly to: number }, found: 'dropped' | ((word: number) => number)): number {
    if (to - from > comparedInRowMax) {
      const middle = (from + to) >> 1
      const upper = this.#oneOf(words, { from: middle, to }, found)
      this.#oneOf(words, { from, to: middle }, found)
      return this.branch(opcode.jumpAtLeast, words[middle] ?? 0, upper)
    }
    const places = found === 'dropped' ? Array<number>(to - from).fill(this.return(0)) : Array.from(words.subarray(from, to), found)
    this.return(-1)
    for (const [index, place] of places.entries()) this.branch(opcode.jumpEqual, words[from + index] ?? 0, place)
    return this.#first
  }
}
