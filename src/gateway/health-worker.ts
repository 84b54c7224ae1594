// What the thread that checks endpoints runs: the loop, with the cheapest way to connect that this system has.

import { isMainThread, parentPort, workerData } from 'node:worker_threads'
import type { DialNewsKind } from '../core/balance/dial-news.ts'
import type { TargetChange } from '../core/balance/endpoint-register.ts'
import type { Prober } from '../core/health/prober.ts'
import { HealthLoop, type HealthLoopOptions } from '../health/health-loop.ts'

/** Cloned to the thread when it starts. */
export interface HealthWorkerData {
  /** That files' relative paths begin at. */
  readonly folder: string
}

export type ToHealthThread =
  | ({ readonly kind: 'targets' } & TargetChange)
  /** Of targets, by id. */
  | { readonly kind: 'clients'; readonly how: DialNewsKind; readonly ids: readonly number[] }
  | { readonly kind: 'stop' }
  /** Throws as a bug would, to see what happens then. */
  | { readonly kind: 'crash' }

if (!isMainThread && parentPort !== null) await serve(parentPort, workerData)

async function serve(port: NonNullable<typeof parentPort>, { folder }: HealthWorkerData): Promise<void> {
  const createTcpProber = await loadConnectProbes()
  const loop = new HealthLoop({
    folder,
    ...(createTcpProber === undefined ? {} : { createTcpProber }),
    updated: (news) => port.postMessage(news),
  })
  // However it ends: the system does not know which descriptors were a thread's.
  process.once('exit', () => loop.close())
  port.on('message', (message: ToHealthThread) => {
    switch (message.kind) {
      case 'targets': loop.change(message); break
      case 'clients': loop.clients(message.ids, message.how); break
      case 'stop':
        loop.close()
        port.close()
        break
      case 'crash': throw new Error('a crash that was asked for')
      default: message satisfies never
    }
  })
}

async function loadConnectProbes(): Promise<HealthLoopOptions['createTcpProber'] | undefined> {
  if (process.platform !== 'linux' || (process.arch !== 'x64' && process.arch !== 'arm64')) return undefined
  try {
    const { ConnectProbes } = await import('../relay/linux/connect-probes.ts')
    return (options): Prober => new ConnectProbes(options)
  } catch {
    // Without its FFI package: the portable way does the same.
    return undefined
  }
}
