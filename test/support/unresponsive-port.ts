// A port of loopback that completes no connection: its backlog is full and nobody accepts, so a SYN is never answered.

import { once } from 'node:events'
import { connect } from 'node:net'
import { Worker } from 'node:worker_threads'

const source = `
  const { createServer } = require('node:net')
  const { parentPort } = require('node:worker_threads')
  const server = createServer().listen({ port: 0, host: '127.0.0.1', backlog: 1 }, () => {
    parentPort.postMessage(server.address().port)
    // The thread's event loop stops here for good: nothing is ever accepted.
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0)
  })
`

/** @param t a test, or whatever else tears down */
export async function unresponsivePort(t: { teardown(run: () => Promise<void>): void }): Promise<number> {
  const worker = new Worker(source, { eval: true })
  const [port]: number[] = await once(worker, 'message')
  if (port === undefined) throw new Error('no port')
  const fillers = Array.from({ length: 8 }, () => connect({ port, host: '127.0.0.1' }).on('error', () => undefined))
  t.teardown(async () => {
    for (const filler of fillers) filler.destroy()
    await worker.terminate()
  })
  // A backlog of 1 holds two connections; the others' SYNs stay unanswered, as the relay's will.
  await Promise.all(fillers.slice(0, 2).map(async (filler) => await once(filler, 'connect')))
  return port
}
