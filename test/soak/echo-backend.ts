// An echo server in a process of its own, so that its descriptors are not the client's: prints its port, runs until
// its standard input closes. The address to bind may be given.

import { createServer } from 'node:net'

const server = createServer({ allowHalfOpen: true, noDelay: true }, (socket) => {
  socket.on('error', () => undefined)
  socket.pipe(socket)
})
server.listen({ port: 0, host: process.argv[2] ?? '127.0.0.1', backlog: 4096 }, () => {
  const address = server.address()
  if (address === null || typeof address === 'string') throw new Error('no port')
  process.stdout.write(`${address.port}\n`)
})
process.stdin.on('end', () => process.exit(0)).resume()
