// Run in a network namespace whose sockets have little room for filters: as many sources as there may be are to be dropped, then one an hour later.

import { createRelayCells, relayCell } from '../../../src/core/relay-cells.ts'
import { droppedSourcesMax } from '../../../src/core/limit/source-drops.ts'
import { paceOf } from '../../../src/core/limit/shared-pace.ts'
import { SourceKey } from '../../../src/core/net/source-key.ts'
import * as libc from '../../../src/relay/linux/libc.ts'
import { SourceDropper } from '../../../src/relay/linux/source-dropper.ts'

const cells = createRelayCells()
const clock = { nowMs: 5_000 }
const failures: string[] = []
const fd = libc.check(libc.socket(libc.AF_INET6, libc.SOCK_STREAM | libc.SOCK_CLOEXEC, 0), 'socket')
const dropper = new SourceDropper(fd, { clock, cells, failed: (error) => void failures.push(error.message) })
const rule = { pace: paceOf({ perSecond: 1, burst: 60 }), bans: false }

/** Networks that have nothing in common take the longest filter. */
function drop(number: number): void {
  const source = new SourceKey().setBytes(Uint8Array.of(0x20 + (number & 15), number * 37 & 255, number, number >> 8, 0x90 + (number & 7), 0, number * 91 & 255, 1, 0, 0, 0, 0, 0, 0, 0, 1))
  for (let refusals = 0; refusals < 16; refusals++) dropper.refused(source, rule)
}

let most = 0
for (let number = 0; number < droppedSourcesMax; number++) {
  drop(number)
  if (number % 16 !== 15) continue
  clock.nowMs += 50
  dropper.finishTurn()
  most = Math.max(most, cells[relayCell.sourcesDropped] ?? 0)
}
const missed = cells[relayCell.sourceDropsMissed]
clock.nowMs += 3_600_000
dropper.finishTurn()
drop(1)
clock.nowMs += 50
dropper.finishTurn()
process.stdout.write(JSON.stringify({ most, missed, later: cells[relayCell.sourcesDropped], failures }))
