// A backend in a process of its own: it can be killed, stopped and continued like any other.
//
//   node backend.ts ADDRESS PORT BACKLOG INDEX GENERATION

import { createServer } from 'node:net'
import { serve } from './backend-connection.ts'
import type { FromBackend, ToLoad } from './facts.ts'
import { hurry } from './flow.ts'

const [host, port, backlog, index, generation] = process.argv.slice(2)
const send = (message: FromBackend): void => void process.send?.(message)
let open = 0

const server = createServer({ allowHalfOpen: true, noDelay: true }, (socket) => {
  open += 1
  socket.once('close', () => {
    open -= 1
  })
  serve(socket, { index: Number(index), generation: Number(generation) }, send)
})
server.listen({ host, port: Number(port), backlog: Number(backlog) }, () => send({ from: 'backend-ready' }))
process.on('message', (message: ToLoad) => {
  if (message === 'hurry') hurry()
  else send({ from: 'backend-status', open })
})
process.on('disconnect', () => process.exit(0))
