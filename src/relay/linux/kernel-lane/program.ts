// The program that moves bytes from one socket to the other inside the kernel: run for each packet of a socket that is in
// the lane, under that socket's lock. In C it would be:
//
//   struct used  { __u32 redirected, passed, stopped, messages, next, fault, fault_seq, fault_len; __s32 room; };   // by token; the program alone writes it, while a socket is in the lane
//   struct grant { __u32 budget, notice; };                          // by token; user space alone writes it
//   // lanes: cookie → token · peers: token → socket · notices: a ring of tokens for user space
//   int verdict(struct __sk_buff *skb) {
//     if (skb->len == 0) return SK_DROP;                             // FIN alone: the socket's state has told it already
//     __u64 cookie = get_socket_cookie(skb);
//     __u32 *token = lookup(lanes, cookie); …                        // not ours: SK_PASS
//     struct { __u32 seq, end_seq; } *tcp = skb->cb;
//     if (tcp->end_seq - tcp->seq - skb->len > 1) …                  // another kernel's packet: a fault
//     __s32 old = used->next - tcp->seq;                             // sent again together with what is new: a receiver's business, which read_skb leaves to us
//     if (old < 0) …                                                 // bytes are missing: a fault
//     if (old > 0) { adjust_room(skb, -min(old, skb->len)); if (skb->len == 0) return SK_DROP; }
//     used->next += skb->len;
//     __s32 left = grant->budget - used->redirected;
//     if (used->stopped || left < skb->len || redirect_map(skb, peers, *token ^ 1, 0) != SK_PASS) {
//       used->passed += skb->len;                                    // to the socket's own queue, whose window holds the sender
//       if (!used->stopped) { used->stopped = 1; tell(*token); }
//       return SK_PASS;
//     }
//     used->redirected += skb->len; used->messages += 1;
//     if (left >= grant->notice && left - skb->len < grant->notice) tell(*token);
//     return SK_PASS;                                                // redirected
//   }
//
// A fault stops it like a budget that is used up, and user space is told. Numbers are 32 bits and go round: user space compares them by their difference. `stopped` is what keeps the order: once
// one packet went to the socket's own queue all that follow it do, until user space has emptied that and taken the socket
// out. The cookie names a socket whatever its address family, and for longer than its descriptor's number does.

import { add32, addImmediate, assemble, atomicAdd32, call, exit, jump, jumpIf, jumpIfNull, jumpIfSet, label, load32, loadMap, loadPacket8, move, negate32, store32, store64, subtract32, xor32, type Statement } from './assembler.ts'

/** <linux/bpf.h> */
const helper = { mapLookup: 1, getSocketCookie: 46, adjustRoom: 50, redirectMap: 52, ringbufOutput: 130 } as const
const SK_DROP = 0
const SK_PASS = 1
/** In struct __sk_buff; what TCP keeps with a packet (struct tcp_skb_cb) begins with these two. */
const [skbLength, skbSequence, skbEndSequence] = [0, 48, 52]

/** Offsets, in bytes. `room` is the losing filter's; an element's length is a multiple of 8. */
export const usedAt = { redirected: 0, passed: 4, stopped: 8, messages: 12, next: 16, fault: 20, faultSequence: 24, faultLength: 28, room: 32, bytes: 40 } as const
/** In column `fault`. */
export const programFault = { gap: 1, unknownPacket: 2, notCut: 3 } as const
export const grantAt = { budget: 0, notice: 4, bytes: 8 } as const

/** On the stack. */
const [cookie, token, before, notice] = [-8, -12, -16, -20]
/** A call cuts off so many bytes at the most; and what was moved already is within one segment, of less than 64 KiB. */
const cutBytesMax = 4095
const cutsMax = 17

export interface ProgramMaps {
  readonly lanes: number
  readonly used: number
  readonly grants: number
  readonly peers: number
  readonly notices: number
}

/** @param maps descriptors */
export function laneProgram(maps: ProgramMaps): Uint8Array {
  return assemble([
    move('r6', 'r1'),
    load32('r8', 'r6', skbLength),
    jumpIf('r8', '==', 0, 'drop'),
    move('r1', 'r6'),
    call(helper.getSocketCookie),
    store64('r10', cookie, 'r0'),
    ...lookup(maps.lanes, cookie, 'pass'),
    load32('r9', 'r0', 0),
    store32('r10', token, 'r9'),
    ...lookup(maps.used, token, 'pass'),
    move('r7', 'r0'),
    ...cutOff(),
    ...increase('r7', usedAt.next, 'r8'),
    ...lookup(maps.grants, token, 'pass'),
    load32('r9', 'r10', token),

    load32('r1', 'r7', usedAt.stopped),
    jumpIf('r1', '!=', 0, 'passOn'),
    load32('r4', 'r0', grantAt.budget),
    load32('r5', 'r7', usedAt.redirected),
    subtract32('r4', 'r5'),
    jumpIf('r4', '<', 'r8', 'stop'),
    store32('r10', before, 'r4'),
    load32('r5', 'r0', grantAt.notice),
    store32('r10', notice, 'r5'),
    move('r1', 'r6'),
    loadMap('r2', maps.peers),
    xor32('r9', 1),
    move('r3', 'r9'),
    move('r4', 0),
    call(helper.redirectMap),
    jumpIf('r0', '!=', SK_PASS, 'stop'),
    ...increase('r7', usedAt.redirected, 'r8'),
    move('r2', 1),
    ...increase('r7', usedAt.messages, 'r2'),
    load32('r4', 'r10', before),
    load32('r5', 'r10', notice),
    jumpIf('r4', '<', 'r5', 'pass'),
    subtract32('r4', 'r8'),
    jumpIf('r4', '>=', 'r5', 'pass'),
    jump('tell'),

    label('gap'),
    move('r5', programFault.gap),
    jump('fault'),
    label('unknownPacket'),
    move('r5', programFault.unknownPacket),
    jump('fault'),
    label('notCut'),
    move('r5', programFault.notCut),
    label('fault'),
    // The first one is told of.
    load32('r1', 'r7', usedAt.fault),
    jumpIf('r1', '!=', 0, 'stop'),
    load32('r1', 'r6', skbSequence),
    store32('r7', usedAt.faultSequence, 'r1'),
    store32('r7', usedAt.faultLength, 'r8'),
    store32('r7', usedAt.fault, 'r5'),
    label('stop'),
    ...increase('r7', usedAt.passed, 'r8'),
    store32('r7', usedAt.stopped, 1),
    label('tell'),
    loadMap('r1', maps.notices),
    move('r2', 'r10'),
    addImmediate('r2', token),
    move('r3', 4),
    move('r4', 0),
    call(helper.ringbufOutput),
    jump('pass'),

    label('passOn'),
    ...increase('r7', usedAt.passed, 'r8'),
    label('pass'),
    move('r0', SK_PASS),
    exit(),
    label('drop'),
    move('r0', SK_DROP),
    exit(),
  ])
}

/** In the TCP header, where a socket filter's packet begins. */
const flagsByte = 13
const finFlag = 1

/** What a packet takes of the room at least: the memory that it is in is the system's, and counts too. */
const packetBytes = 4096

/**
 * A socket filter that makes FIN, and the bytes of each packet for which column `room` has no room left, as if lost on their
 * way: the peer sends them again. Its result is how much is kept, and that is never less than the header: acknowledgements
 * and RST come through. FIN does not, which would come too early without the bytes before it.
 */
export function losingFilter({ lanes, used }: Pick<ProgramMaps, 'lanes' | 'used'>): Uint8Array {
  return assemble([
    move('r6', 'r1'),
    loadPacket8(flagsByte),
    jumpIfSet('r0', finFlag, 'lose'),
    move('r1', 'r6'),
    call(helper.getSocketCookie),
    store64('r10', cookie, 'r0'),
    ...lookup(lanes, cookie, 'loseBytes'),
    load32('r9', 'r0', 0),
    store32('r10', token, 'r9'),
    ...lookup(used, token, 'loseBytes'),
    load32('r1', 'r6', skbLength),
    addImmediate('r1', packetBytes),
    negate32('r1'),
    atomicAdd32('r0', usedAt.room, 'r1'),
    load32('r1', 'r0', usedAt.room),
    jumpIf('r1', '<', 0, 'loseBytes'),
    move('r0', -1),
    exit(),
    label('loseBytes'),
    move('r0', 1),
    exit(),
    label('lose'),
    move('r0', 0),
    exit(),
  ])
}

/** Of the packet, what was moved already: none is left, and it is dropped, or r8 becomes the length of the rest. */
function cutOff(): Statement[] {
  return [
    load32('r1', 'r6', skbSequence),
    load32('r2', 'r6', skbEndSequence),
    subtract32('r2', 'r1'),
    subtract32('r2', 'r8'),
    jumpIf('r2', '==', 0, 'known'),
    // FIN has a number too.
    jumpIf('r2', '!=', 1, 'unknownPacket'),
    label('known'),
    load32('r9', 'r7', usedAt.next),
    subtract32('r9', 'r1'),
    jumpIf('r9', '==', 0, 'new'),
    jumpIf('r9', '<', 0, 'gap'),
    jumpIf('r9', '<', 'r8', 'cut'),
    move('r9', 'r8'),
    label('cut'),
    ...Array.from({ length: cutsMax }, (_, index) => cutPiece(index)).flat(),
    jumpIf('r9', '!=', 0, 'notCut'),
    label('isCut'),
    load32('r8', 'r6', skbLength),
    jumpIf('r8', '==', 0, 'drop'),
    label('new'),
  ]
}

function cutPiece(index: number): Statement[] {
  return [
    jumpIf('r9', '==', 0, 'isCut'),
    move('r1', 'r9'),
    jumpIf('r1', '<', cutBytesMax, `piece ${index}`),
    move('r1', cutBytesMax),
    label(`piece ${index}`),
    subtract32('r9', 'r1'),
    move('r2', 0),
    subtract32('r2', 'r1'),
    move('r1', 'r6'),
    move('r3', 0),
    move('r4', 0),
    call(helper.adjustRoom),
    jumpIf('r0', '!=', 0, 'notCut'),
  ]
}

/** r0 becomes the value's address; where there is none the packet is not ours. */
function lookup(map: number, key: number, otherwise: 'pass' | 'loseBytes'): Statement[] {
  return [loadMap('r1', map), move('r2', 'r10'), addImmediate('r2', key), call(helper.mapLookup), jumpIfNull('r0', otherwise)]
}

function increase(base: 'r7', offset: number, by: 'r2' | 'r8'): Statement[] {
  return [load32('r1', base, offset), add32('r1', by), store32(base, offset, 'r1')]
}
