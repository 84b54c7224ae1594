// A TCP port of 127.0.0.1 that is free now, for programs that cannot be told port 0 and asked afterwards. It is outside the range
// of outgoing connections, so none of the thousands that a measurement or a test makes can take it before the program does.

import { randomInt } from 'node:crypto'
import { once } from 'node:events'
import { createServer } from 'node:net'
import { firstEphemeralPort } from './proc.ts'

const firstPort = 20_000
/** Processes that ask at the same time begin apart; of one, no two callers are given the same. */
let nextPort = firstPort + randomInt(5_000)

/** @throws where none is free */
export async function freePort(): Promise<number> {
  const lastPort = firstEphemeralPort() - 1
  for (let tries = 0; tries < lastPort - firstPort; tries += 1) {
    nextPort = nextPort >= lastPort ? firstPort : nextPort + 1
    // Others ask while this one is looked at.
    const port = nextPort
    if (await isFree(port)) return port
  }
  throw new Error(`no port is free from ${firstPort} to ${lastPort}`)
}

async function isFree(port: number): Promise<boolean> {
  const server = createServer()
  const error = await new Promise<Error | undefined>((resolve) => {
    server.once('error', resolve)
    server.listen({ port, host: '127.0.0.1' }, () => resolve(undefined))
  })
  if (error !== undefined) return false
  server.close()
  await once(server, 'close')
  return true
}
