// Directions that are pumped together.

import { test } from '../../support/linux-only.ts'
import { createRelayCells, relayCell } from '../../../src/core/relay-cells.ts'
import { BatchRelay, batchMax } from '../../../src/relay/linux/batch-relay.ts'
import { BatchRing } from '../../../src/relay/linux/batch-ring.ts'
import { ByteRelay } from '../../../src/relay/linux/byte-relay.ts'
import { ConnectionTable, slotState } from '../../../src/relay/linux/connection-table.ts'
import * as libc from '../../../src/relay/linux/libc.ts'
import { closeAll, openListeningSockets } from '../../../src/relay/linux/listening-sockets.ts'
import { PendingBytes } from '../../../src/relay/linux/pending-bytes.ts'
import { PipePool } from '../../../src/relay/linux/pipe-pool.ts'
import { SocketAddressCell } from '../../../src/relay/linux/socket-address.ts'
import { TurnQueue } from '../../../src/relay/linux/turn-queue.ts'

/** Enough for one system call for all of them. */
const connections = 4
const saidBytes = 60_000
const nonBlocking = libc.SOCK_NONBLOCK | libc.SOCK_CLOEXEC

void test('a direction that is to be pumped for two reasons is read once: while the other side is full, no more is taken than one read brings', async (t) => {
  const ring = BatchRing.open(batchMax)
  const { fds: [listener = -1], bound } = openListeningSockets({ address: '127.0.0.1', port: 0 }, { ipv6Only: false }, 1)
  const opened = [listener]
  t.teardown(() => closeAll(opened))
  if (typeof ring === 'string') {
    t.pass(`no io_uring here: ${ring}`)
    return
  }
  opened.push(ring.fd)
  const [address, buffer] = [new SocketAddressCell(), libc.allocate(saidBytes)]
  const pair = (): readonly [number, number] => {
    const fd = libc.check(libc.socket(libc.AF_INET, libc.SOCK_STREAM | nonBlocking, 0), 'socket')
    // Loopback connects within the call, whatever it returns; and who says nothing is not accepted.
    libc.connect(fd, address.address, address.encode(bound) ?? 0)
    libc.check(libc.send(fd, buffer.address, 1, libc.MSG_NOSIGNAL), 'send')
    address.expect()
    const accepted = libc.check(libc.accept4(listener, address.address, address.lengthAddress, nonBlocking), 'accept4')
    opened.push(fd, accepted)
    return [fd, accepted]
  }
  const table = new ConnectionTable(new Int32Array(new SharedArrayBuffer(2 * connections * Int32Array.BYTES_PER_ELEMENT)))
  const [cells, clock, queue] = [createRelayCells(), { nowMs: 0 }, new TurnQueue(table)]
  const pipes = new PipePool(new Int32Array(new SharedArrayBuffer(0)), 0)
  const pending = new PendingBytes({ table, cells, clock, pipes, queue })
  const bytes = new ByteRelay({ table, cells, clock, pipes, pending, queue, events: { readToEnd: () => undefined, lost: () => undefined } })
  const batch = new BatchRelay({ table, bytes, pending, ring })
  for (let count = 0; count < connections; count++) {
    const slot = table.take()
    const [[client, downstream], [upstream]] = [pair(), pair()]
    table.state[slot] = slotState.relaying
    table.setFd(2 * slot, downstream)
    table.setFd(2 * slot + 1, upstream)
    while (libc.send(upstream, buffer.address, saidBytes, libc.MSG_NOSIGNAL) > 0);
    libc.check(libc.send(client, buffer.address, saidBytes, libc.MSG_NOSIGNAL), 'send')
    batch.add(2 * slot)
    batch.add(2 * slot)
  }
  batch.pump()
  t.equal(cells[relayCell.bytesFromDownstream], connections * 16 * 1024)
  t.equal(cells[relayCell.backpressurePauses], connections)
})
