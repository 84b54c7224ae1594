// A small assembler for eBPF (RFC 9669): what the kernel lane's program is written in, so that no compiler is needed.
//
//   an instruction, 8 bytes: opcode │ source:4 destination:4 │ offset, 16 bits │ immediate, 32 bits      (little-endian)
//
// Registers: r0 results · r1 to r5 arguments, gone after a call · r6 to r9 kept over calls · r10 the end of the stack.

export type Register = 'r0' | 'r1' | 'r2' | 'r3' | 'r4' | 'r5' | 'r6' | 'r7' | 'r8' | 'r9' | 'r10'

/** Each compares 32 bits, the last two as signed numbers. */
export type Comparison = '==' | '!=' | '<' | '>='

export type Statement =
  | { readonly kind: 'label'; readonly name: string }
  | { readonly kind: 'jump'; readonly opcode: number; readonly registers: number; readonly immediate: number; readonly to: string }
  | { readonly kind: 'plain'; readonly opcode: number; readonly registers: number; readonly offset: number; readonly immediate: number; readonly immediateHigh?: number }

/** Opcodes are a class (low three bits), a source or mode, and an operation or size (RFC 9669 §3). */
const opcode = {
  mov64Immediate: 0xb7,
  mov64: 0xbf,
  add64Immediate: 0x07,
  add32: 0x0c,
  sub32: 0x1c,
  negate32: 0x84,
  xor32Immediate: 0xa4,
  load32: 0x61,
  store32: 0x63,
  store32Immediate: 0x62,
  store64: 0x7b,
  atomic32: 0xc3,
  loadImmediate64: 0x18,
  loadPacket8: 0x30,
  jump: 0x05,
  jump64EqualImmediate: 0x15,
  jump32SetImmediate: 0x46,
  call: 0x85,
  exit: 0x95,
} as const

/** JMP32, against an immediate; against a register it is 8 more. */
const jump32: Readonly<Record<Comparison, number>> = { '==': 0x16, '!=': 0x56, '<': 0xc6, '>=': 0x76 }
const fromRegister = 0x08
/** Of `loadImmediate64`, as its source register: the immediate is a map's descriptor (BPF_PSEUDO_MAP_FD). */
const pseudoMapFd = 1

export const instructionBytes = 8

export function label(name: string): Statement {
  return { kind: 'label', name }
}

export function move(to: Register, from: Register | number): Statement {
  return typeof from === 'number' ? plain(opcode.mov64Immediate, { to, immediate: from }) : plain(opcode.mov64, { to, from })
}

/** 64 bits: for addresses. */
export function addImmediate(to: Register, immediate: number): Statement {
  return plain(opcode.add64Immediate, { to, immediate })
}

/** 32 bits; the upper half of `to` becomes 0. */
export function add32(to: Register, from: Register): Statement {
  return plain(opcode.add32, { to, from })
}

/** 32 bits; the upper half of `to` becomes 0. */
export function subtract32(to: Register, from: Register): Statement {
  return plain(opcode.sub32, { to, from })
}

/** 32 bits: 0 less what it was; the upper half becomes 0. */
export function negate32(to: Register): Statement {
  return plain(opcode.negate32, { to })
}

/** 32 bits; the upper half of `to` becomes 0. */
export function xor32(to: Register, immediate: number): Statement {
  return plain(opcode.xor32Immediate, { to, immediate })
}

/** The 32 bits at `base` + `offset`. */
export function load32(to: Register, base: Register, offset: number): Statement {
  return plain(opcode.load32, { to, from: base, offset })
}

/** r0 becomes the byte at `offset` of the packet whose context is in r6; where there is none the program ends, with 0. */
export function loadPacket8(offset: number): Statement {
  return plain(opcode.loadPacket8, { to: 'r0', immediate: offset })
}

export function store32(base: Register, offset: number, from: Register | number): Statement {
  return typeof from === 'number' ? plain(opcode.store32Immediate, { to: base, offset, immediate: from }) : plain(opcode.store32, { to: base, offset, from })
}

export function store64(base: Register, offset: number, from: Register): Statement {
  return plain(opcode.store64, { to: base, offset, from })
}

/** Adds to the 32 bits at `base` + `offset`, whoever else does. */
export function atomicAdd32(base: Register, offset: number, from: Register): Statement {
  return plain(opcode.atomic32, { to: base, from, offset })
}

/** The kernel's address of the map with this descriptor; two instructions long. */
export function loadMap(to: Register, fd: number): Statement {
  return { kind: 'plain', opcode: opcode.loadImmediate64, registers: number(to) | pseudoMapFd << 4, offset: 0, immediate: fd, immediateHigh: 0 }
}

export function jump(to: string): Statement {
  return { kind: 'jump', opcode: opcode.jump, registers: 0, immediate: 0, to }
}

/** Compares 32 bits. */
export function jumpIf(left: Register, comparison: Comparison, right: Register | number, to: string): Statement {
  return typeof right === 'number'
    ? { kind: 'jump', opcode: jump32[comparison], registers: number(left), immediate: right, to }
    : { kind: 'jump', opcode: jump32[comparison] | fromRegister, registers: number(left) | number(right) << 4, immediate: 0, to }
}

/** Compares 64 bits: what a look-up in a map gives. */
export function jumpIfNull(pointer: Register, to: string): Statement {
  return { kind: 'jump', opcode: opcode.jump64EqualImmediate, registers: number(pointer), immediate: 0, to }
}

/** Compares 32 bits: whether one of `mask` is set. */
export function jumpIfSet(left: Register, mask: number, to: string): Statement {
  return { kind: 'jump', opcode: opcode.jump32SetImmediate, registers: number(left), immediate: mask, to }
}

/** @param helper its number, BPF_FUNC_… in <linux/bpf.h> */
export function call(helper: number): Statement {
  return plain(opcode.call, { to: 'r0', immediate: helper })
}

/** With r0 as the result. */
export function exit(): Statement {
  return plain(opcode.exit, { to: 'r0' })
}

/** @throws {RangeError} a label that is not there, or is there twice */
export function assemble(statements: readonly Statement[]): Uint8Array {
  const places = new Map<string, number>()
  let count = 0
  for (const statement of statements) {
    if (statement.kind !== 'label') count += lengthOf(statement)
    else if (places.has(statement.name)) throw new RangeError(`label ${statement.name}: defined twice`)
    else places.set(statement.name, count)
  }
  const view = new DataView(new ArrayBuffer(count * instructionBytes))
  let place = 0
  for (const statement of statements) {
    if (statement.kind === 'label') continue
    const offset = statement.kind === 'jump' ? distance(places, statement.to, place) : statement.offset
    write(view, place, { ...statement, offset })
    if (statement.kind === 'plain' && statement.immediateHigh !== undefined) write(view, place + 1, { opcode: 0, registers: 0, offset: 0, immediate: statement.immediateHigh })
    place += lengthOf(statement)
  }
  return new Uint8Array(view.buffer)
}

function lengthOf(statement: Exclude<Statement, { kind: 'label' }>): number {
  return statement.kind === 'plain' && statement.immediateHigh !== undefined ? 2 : 1
}

/** Jumps count from the instruction behind them. */
function distance(places: ReadonlyMap<string, number>, to: string, from: number): number {
  const place = places.get(to)
  if (place === undefined) throw new RangeError(`label ${to}: not defined`)
  return place - from - 1
}

function write(view: DataView, place: number, instruction: { readonly opcode: number; readonly registers: number; readonly offset: number; readonly immediate: number }): void {
  const at = place * instructionBytes
  view.setUint8(at, instruction.opcode)
  view.setUint8(at + 1, instruction.registers)
  view.setInt16(at + 2, instruction.offset, true)
  view.setInt32(at + 4, instruction.immediate, true)
}

function plain(code: number, { to, from, offset = 0, immediate = 0 }: { readonly to: Register; readonly from?: Register; readonly offset?: number; readonly immediate?: number }): Statement {
  return { kind: 'plain', opcode: code, registers: number(to) | (from === undefined ? 0 : number(from) << 4), offset, immediate }
}

function number(register: Register): number {
  return Number(register.slice(1))
}
