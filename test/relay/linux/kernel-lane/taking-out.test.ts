// A socket that is taken out of the lane: what comes while the program could be run and throws away what it is given. The
// thread may be held up there for as long as it pleases the system.

import { randomBytes } from 'node:crypto'
import type { Test } from 'tap'
import { test } from '../../../support/kernel-lane.ts'
import { owed } from '../../../../src/core/peer-silence.ts'
import { LaneMaps, lanePlacesFor } from '../../../../src/relay/linux/kernel-lane/lane-maps.ts'
import * as libc from '../../../../src/relay/linux/libc.ts'
import { closeAll, openListeningSockets } from '../../../../src/relay/linux/listening-sockets.ts'
import { SocketAddressCell } from '../../../../src/relay/linux/socket-address.ts'
import { until } from '../../../support/sockets.ts'

const lowWaterBytes = 1024 * 1024
const nonBlocking = libc.SOCK_NONBLOCK | libc.SOCK_CLOEXEC
const stream = randomBytes(64 * 1024)
const mark = 0

/** One end of a connection, by its descriptor; what it sends is `stream`, again and again. */
class End {
  readonly #memory = libc.allocate(stream.length)
  readonly fd: number
  sent = 0
  got = 0

  constructor(t: Test, fd: number) {
    this.fd = fd
    t.teardown(() => {
      libc.setResetOnClose(fd)
      libc.close(fd)
      libc.free(this.#memory)
    })
  }

  /** As much as is taken. */
  flood(): void {
    for (;;) {
      const at = this.sent % stream.length
      this.#memory.bytes.set(stream.subarray(at))
      const sent = libc.send(this.fd, this.#memory.address, stream.length - at, libc.MSG_NOSIGNAL)
      if (sent <= 0) return
      this.sent += sent
    }
  }

  /** As much as is there. @returns false where it is not what was sent */
  read(): boolean {
    for (;;) {
      const at = this.got % stream.length
      const got = libc.recv(this.fd, this.#memory.address, stream.length - at, 0)
      if (got <= 0) return true
      if (!stream.subarray(at, at + got).equals(this.#memory.bytes.subarray(0, got))) return false
      this.got += got
    }
  }
}

async function connectedEnds(t: Test): Promise<{ readonly sender: End; readonly receiver: End }> {
  const { fds, bound } = openListeningSockets({ address: '127.0.0.1', port: 0 }, { ipv6Only: false }, 1)
  t.teardown(() => closeAll(fds))
  const [target, peer] = [new SocketAddressCell(), new SocketAddressCell()]
  const length = target.encode(bound) ?? 0
  const sender = new End(t, libc.check(libc.socket(libc.AF_INET, libc.SOCK_STREAM | nonBlocking, 0), 'socket'))
  if (libc.connect(sender.fd, target.address, length) === -1 && libc.errno() !== libc.EINPROGRESS) throw new libc.SystemError('connect', libc.errno())
  let accepted = -1
  await until(() => {
    // The listener gives a connection away once there are bytes.
    sender.flood()
    peer.expect()
    accepted = libc.accept4(fds[0] ?? -1, peer.address, peer.lengthAddress, nonBlocking)
    return accepted !== -1
  })
  const receiver = new End(t, accepted)
  await until(() => !receiver.read() || receiver.got === sender.sent)
  return { sender, receiver }
}

for (const [what, roomBytes] of [['some room', 512 * 1024], ['no room', 0]] as const) {
  void test(`with ${what}, no more comes in than there is room for, however much is sent, and the program is not run`, async (t) => {
    const { sender, receiver } = await connectedEnds(t)
    const maps = new LaneMaps(lanePlacesFor(1))
    t.teardown(() => maps.close())
    maps.clear(mark, libc.streamPositions(receiver.fd)?.next ?? 0)
    maps.revoke(mark)
    t.ok(maps.name(mark, receiver.fd) && maps.addVerdict(mark, receiver.fd))
    const before = receiver.got
    sender.flood()
    await until(() => !receiver.read() || receiver.got === sender.sent)
    t.equal(maps.passed(mark), receiver.got - before, 'the program was run')
    const passed = maps.passed(mark)

    maps.lose(mark, receiver.fd, roomBytes)
    libc.setIntOption(receiver.fd, libc.SOL_SOCKET, libc.SO_RCVLOWAT, lowWaterBytes)
    await until(() => {
      sender.flood()
      return (libc.readPeerSigns(sender.fd) && libc.peerSigns.owes === owed.inVain) || maps.passed(mark) !== passed
    })
    t.ok(sender.sent - receiver.got > lowWaterBytes, 'more than the mark was sent')
    t.ok(libc.receivedBytes(receiver.fd) - receiver.got <= roomBytes)
    t.equal(maps.passed(mark), passed)

    maps.removeVerdict(mark)
    maps.loseNothing(receiver.fd)
    libc.setIntOption(receiver.fd, libc.SOL_SOCKET, libc.SO_RCVLOWAT, 1)
    await until(() => !receiver.read() || receiver.got === sender.sent)
    t.equal(receiver.got, sender.sent)
    t.equal(maps.passed(mark), passed)
    t.equal(maps.fault(mark), 0)
    maps.unname(receiver.fd)
  })
}
