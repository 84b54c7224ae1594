// The thread of side.ts: one storm or one attack.

import { readlinkSync } from 'node:fs'
import { setPriority } from 'node:os'
import { basename } from 'node:path'
import { parentPort } from 'node:worker_threads'
import { EventLoop } from '../load/event-loop.ts'
import { Attack } from './attack.ts'
import { Crowd } from './crowd.ts'
import type { SideReply, SideRequest } from './side.ts'

const niceness = 10

// proc(5), of the thread: setpriority(2) takes it for a process.
setPriority(Number(basename(readlinkSync('/proc/thread-self'))), niceness)

const loop = new EventLoop()
let close: () => SideReply = () => {
  throw new Error('bug: nothing has begun')
}

function say(reply: SideReply): void {
  parentPort?.postMessage(reply)
}

parentPort?.on('message', (request: SideRequest) => {
  switch (request.kind) {
    case 'storm': {
      const crowd = new Crowd(loop, request.spec)
      void crowd.allIn().then(() => say({ kind: 'all-in' }))
      close = () => ({ kind: 'stormed', tally: crowd.close() })
      say({ kind: 'begun' })
      break
    }
    case 'attack': {
      const attack = new Attack(loop, request.spec)
      close = () => ({ kind: 'attacked', tally: attack.close() })
      say({ kind: 'begun' })
      break
    }
    case 'close': say(close()); break
    default: request satisfies never
  }
})
