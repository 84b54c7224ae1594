// A process of its own: echo servers that stand for admin nodes, each NodePort on each address, or on all of 127.0.0.0/8 by one.
// Told to, all of an address go.

import { once } from 'node:events'
import { createServer, type Server, type Socket } from 'node:net'

export type ListenersRequest =
  | { readonly kind: 'listen'; readonly addresses: readonly string[]; readonly ports: number }
  | { readonly kind: 'go'; readonly address: string }

/** The ports, in their order; of `go`: none. */
export interface ListenersAnswer {
  readonly ports: readonly number[]
}

const servers = new Map<string, Set<Server>>()
const sockets = new Map<string, Set<Socket>>()

process.on('message', (request: ListenersRequest) => {
  void answer(request).then((made) => process.send?.(made))
})
process.once('disconnect', () => process.exit())

async function answer(request: ListenersRequest): Promise<ListenersAnswer> {
  if (request.kind === 'go') {
    for (const server of servers.get(request.address) ?? []) server.close()
    for (const socket of sockets.get(request.address) ?? []) socket.resetAndDestroy()
    return { ports: [] }
  }
  const [first, ...others] = request.addresses
  if (first === undefined) throw new Error('bug: no address')
  const ports: number[] = []
  for (let port = 0; port < request.ports; port++) ports.push(await listen(first, 0))
  for (const address of others) for (const port of ports) await listen(address, port)
  return { ports }
}

async function listen(address: string, port: number): Promise<number> {
  const open = ofAddress(sockets, address)
  const server = createServer((socket) => {
    open.add(socket)
    socket.on('error', () => undefined).on('close', () => open.delete(socket)).pipe(socket)
  }).listen({ port, host: address, backlog: 4_096 })
  await once(server, 'listening')
  ofAddress(servers, address).add(server)
  const bound = server.address()
  if (bound === null || typeof bound === 'string') throw new Error(`bug: ${address} has no TCP address`)
  return bound.port
}

function ofAddress<Of>(all: Map<string, Set<Of>>, address: string): Set<Of> {
  const known = all.get(address)
  if (known !== undefined) return known
  const made = new Set<Of>()
  all.set(address, made)
  return made
}
