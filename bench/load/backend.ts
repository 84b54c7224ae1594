// A process of servers behind the relays; see backend-servers.ts. Each target has a set of its own: what one relay leaves
// behind (TIME_WAIT on its upstream connections) is not in the way of the next. The parent asks over IPC; when the parent is
// gone, so is this process.

import type { BackendCounters, BackendPorts, BackendReply, BackendRequest } from './backend-protocol.ts'
import { BackendServers } from './backend-servers.ts'
import { EventLoop } from './event-loop.ts'

const servers = new BackendServers(new EventLoop())

function readCounters(): BackendCounters {
  const { user, system } = process.cpuUsage()
  return { ...servers.counters, atMs: performance.now(), cpuMs: (user + system) / 1000 }
}

function listenSet({ echo, source, sink, byGreeting }: BackendPorts, address: string): BackendPorts {
  const listen = (role: keyof BackendPorts, port: number): number => servers.listen(role, { address, port })
  return { echo: listen('echo', echo), source: listen('source', source), sink: listen('sink', sink), byGreeting: listen('byGreeting', byGreeting) }
}

function answer(request: BackendRequest): BackendReply {
  switch (request.kind) {
    case 'listen':
      return { kind: 'listening', sets: request.sets.map((set) => listenSet(set, request.address)) }
    case 'counters':
      return { kind: 'counters', counters: readCounters() }
    default: {
      const never: never = request
      throw new Error(`bug: ${JSON.stringify(never)}`)
    }
  }
}

// What is thrown ends the process, and the parent says so.
process.on('message', (request: BackendRequest) => process.send?.(answer(request)))
// Ctrl-C is for the parent, which then closes the channel.
process.on('SIGINT', () => undefined)
process.once('disconnect', () => process.exit(0))
