// A thread of the generator: runs one load at a time, step by step as it is told. See generator.ts for the other side.

import { parentPort } from 'node:worker_threads'
import { createLoad } from './create-load.ts'
import { EventLoop } from './event-loop.ts'
import type { GeneratorReply, GeneratorRequest } from './generator-protocol.ts'
import type { Load, LoadTally } from './load.ts'

const loop = new EventLoop()
let load: Load | undefined

async function perform(request: GeneratorRequest): Promise<LoadTally | undefined> {
  if (request.step === 'prepare') {
    load = createLoad({ spec: request.spec, target: request.target, loop })
    await load.prepare()
    return undefined
  }
  if (load === undefined) throw new Error(`bug: ${request.step} before prepare`)
  switch (request.step) {
    case 'start':
    case 'openWindow':
    case 'closeWindow':
      load[request.step]()
      return undefined
    case 'finish': {
      await load.finish()
      const tally = load.tally()
      load = undefined
      return tally
    }
    default: {
      const never: never = request
      throw new Error(`bug: ${JSON.stringify(never)}`)
    }
  }
}

async function answer(request: GeneratorRequest): Promise<void> {
  const tally = await perform(request)
  const reply: GeneratorReply = tally === undefined ? {} : { tally }
  parentPort?.postMessage(reply)
}

// A rejection ends the thread, and the bench says why.
parentPort?.on('message', (request: GeneratorRequest) => void answer(request))
