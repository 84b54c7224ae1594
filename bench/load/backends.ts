// The backend processes as the bench sees them: started, asked, and ended with the bench in any case.

import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { setTimeout as delay } from 'node:timers/promises'
import type { BackendCounters, BackendPorts, BackendReply, BackendRequest } from './backend-protocol.ts'

const anyPort: BackendPorts = { echo: 0, source: 0, sink: 0, byGreeting: 0 }
const settlePollMs = 20

export class Backends {
  readonly #children: readonly ChildProcess[]

  private constructor(children: readonly ChildProcess[]) {
    this.#children = children
  }

  /**
   * @param processes that share the ports; the system spreads connections over them
   * @param sets how many sets of servers
   * @param address IPv4, of this machine
   */
  static async start({ processes, sets, address = '127.0.0.1' }: { processes: number, sets: number, address?: string }): Promise<{ backends: Backends, ports: readonly BackendPorts[] }> {
    const file = fileURLToPath(new URL('backend.ts', import.meta.url))
    const children = Array.from({ length: processes }, () => fork(file, { execArgv: [], stdio: ['ignore', 'inherit', 'inherit', 'ipc'] }))
    let ports: readonly BackendPorts[] = Array.from({ length: sets }, () => anyPort)
    for (const child of children) {
      const reply = await ask(child, { kind: 'listen', address, sets: ports })
      if (reply.kind !== 'listening') throw new Error(`bug: the backend answered ${reply.kind}`)
      ports = reply.sets
    }
    return { backends: new Backends(children), ports }
  }

  /** One element for each process. */
  async counters(): Promise<readonly BackendCounters[]> {
    return await Promise.all(this.#children.map(async (child) => {
      const reply = await ask(child, { kind: 'counters' })
      if (reply.kind !== 'counters') throw new Error(`bug: the backend answered ${reply.kind}`)
      return reply.counters
    }))
  }

  /**
   * Waits until all connections have ended, at most so long.
   * @param standing connections that stay
   * @returns the counters then
   */
  async settle(timeoutMs: number, standing = 0): Promise<readonly BackendCounters[]> {
    const deadlineMs = performance.now() + timeoutMs
    for (;;) {
      const counters = await this.counters()
      if (counters.reduce((sum, { open }) => sum + open, 0) <= standing || performance.now() > deadlineMs) return counters
      await delay(settlePollMs)
    }
  }

  stop(): void {
    for (const child of this.#children) if (child.connected) child.disconnect()
  }
}

async function ask(child: ChildProcess, request: BackendRequest): Promise<BackendReply> {
  const gone = new AbortController()
  const onExit = (code: number | null, signal: string | null): void => gone.abort(new Error(`a backend process ended: ${code ?? signal}`))
  child.once('exit', onExit)
  try {
    child.send(request)
    const [reply] = await once(child, 'message', { signal: gone.signal }) as [BackendReply]
    return reply
  } catch (error) {
    throw gone.signal.aborted ? gone.signal.reason : error
  } finally {
    child.off('exit', onExit)
  }
}
