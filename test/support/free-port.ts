// A TCP port of 127.0.0.1 that is free now. For programs that cannot be told port 0 and asked afterwards: another process
// may take the port in between, which the lab would report as a process that did not get ready.

import { once } from 'node:events'
import { createServer } from 'node:net'

export async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()
  server.close()
  await once(server, 'close')
  if (address === null || typeof address === 'string') throw new Error('a TCP server has no port')
  return address.port
}
