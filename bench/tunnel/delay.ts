// The delaying relay as the bench sees it: started for a port, and ended with the bench in any case.

import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'

export interface DelayRelayRequest {
  /** On 127.0.0.1, as the relay is. */
  readonly targetPort: number
  /** Each way. */
  readonly delayMs: number
}

export interface DelayRelayReply {
  readonly port: number
}

export class DelayRelay {
  readonly port: number
  readonly #child: ChildProcess

  private constructor(child: ChildProcess, port: number) {
    this.#child = child
    this.port = port
  }

  static async start(request: DelayRelayRequest): Promise<DelayRelay> {
    const child = fork(fileURLToPath(new URL('delay-relay.ts', import.meta.url)), { execArgv: [], stdio: ['ignore', 'inherit', 'inherit', 'ipc'] })
    const gone = new AbortController()
    child.once('exit', (code, signal) => gone.abort(new Error(`the delaying relay ended: ${code ?? signal}`)))
    child.send(request)
    const [{ port }] = await once(child, 'message', { signal: gone.signal }) as [DelayRelayReply]
    return new DelayRelay(child, port)
  }

  stop(): void {
    if (this.#child.connected) this.#child.disconnect()
  }
}
