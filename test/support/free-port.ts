// A TCP port of 127.0.0.1 that is free now, for programs that cannot be told port 0 and asked afterwards. It is none of those
// that systems give to outgoing connections (Linux from 32768 on) or Kubernetes to Services: other programs make thousands of
// the former, and one may have the port before it is used.

import { randomInt } from 'node:crypto'
import { once } from 'node:events'
import { createServer } from 'node:net'

const [firstPort, lastPort] = [15_000, 29_999]
const attemptsMax = 100

export async function freePort(): Promise<number> {
  for (let attempt = 0; attempt < attemptsMax; attempt++) {
    const port = randomInt(firstPort, lastPort + 1)
    if (await isFree(port)) return port
  }
  throw new Error(`no free port from ${firstPort} to ${lastPort} in ${attemptsMax} attempts`)
}

async function isFree(port: number): Promise<boolean> {
  const server = createServer().listen(port, '127.0.0.1')
  try {
    await once(server, 'listening')
  } catch {
    return false
  }
  server.close()
  await once(server, 'close')
  return true
}
