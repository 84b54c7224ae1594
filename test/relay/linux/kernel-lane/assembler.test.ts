// Encodings are llvm-mc's, 19: `llvm-mc -triple bpfel -show-encoding`.

import { test } from 'tap'
import { add32, addImmediate, assemble, atomicAdd32, call, exit, jump, jumpIf, jumpIfNull, jumpIfSet, label, load32, loadMap, loadPacket8, move, negate32, store32, store64, subtract32, xor32 } from '../../../../src/relay/linux/kernel-lane/assembler.ts'

const hex = (...statements: Parameters<typeof assemble>[0]): string => Buffer.from(assemble(statements)).toString('hex')

void test('an instruction is encoded as llvm-mc does it', async (t) => {
  for (const [text, statement, encoding] of [
    ['r6 = r1', move('r6', 'r1'), 'bf16000000000000'],
    ['r2 = 4096', move('r2', 4096), 'b702000000100000'],
    ['r2 += -8', addImmediate('r2', -8), '07020000f8ffffff'],
    ['w1 += w8', add32('r1', 'r8'), '0c81000000000000'],
    ['w4 -= w2', subtract32('r4', 'r2'), '1c24000000000000'],
    ['w1 = -w1', negate32('r1'), '8401000000000000'],
    ['w3 ^= 1', xor32('r3', 1), 'a403000001000000'],
    ['r2 = *(u32 *)(r6 + 16)', load32('r2', 'r6', 16), '6162100000000000'],
    ['r0 = *(u8 *)skb[13]', loadPacket8(13), '300000000d000000'],
    ['*(u32 *)(r10 - 12) = r9', store32('r10', -12, 'r9'), '639af4ff00000000'],
    ['*(u32 *)(r7 + 8) = 1', store32('r7', 8, 1), '6207080001000000'],
    ['*(u64 *)(r10 - 8) = r0', store64('r10', -8, 'r0'), '7b0af8ff00000000'],
    ['lock *(u32 *)(r0 + 32) += w1', atomicAdd32('r0', 32, 'r1'), 'c310200000000000'],
    ['r1 = map fd 7 ll', loadMap('r1', 7), '18110000070000000000000000000000'],
    ['call 52', call(52), '8500000034000000'],
    ['exit', exit(), '9500000000000000'],
  ] as const) t.equal(hex(statement), encoding, text)
})

void test('a jump counts from the instruction behind it, a map’s address as two', async (t) => {
  t.equal(hex(jump('end'), loadMap('r1', 7), label('end'), exit()), '0500020000000000181100000700000000000000000000009500000000000000')
  t.equal(hex(label('again'), jumpIf('r4', '<', 'r8', 'again')), 'ce84ffff00000000')
  t.equal(hex(jumpIf('r4', '>=', 'r8', 'end'), exit(), label('end')), '7e840100000000009500000000000000')
  t.equal(hex(jumpIf('r2', '==', 0, 'end'), exit(), label('end')), '16020100000000009500000000000000')
  t.equal(hex(jumpIf('r2', '!=', 0, 'end'), exit(), label('end')), '56020100000000009500000000000000')
  t.equal(hex(jumpIfSet('r0', 1, 'end'), exit(), label('end')), '46000100010000009500000000000000')
  t.equal(hex(jumpIfNull('r0', 'end'), exit(), label('end')), '15000100000000009500000000000000')
})

void test('a label that is not there, or is there twice, is an error that names it', async (t) => {
  t.throws(() => assemble([jump('nowhere')]), { message: 'label nowhere: not defined' })
  t.throws(() => assemble([label('here'), label('here')]), { message: 'label here: defined twice' })
})
