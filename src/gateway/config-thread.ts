// Loads the configuration in a thread of its own: parsing 25,000 tenants takes longer than any relayed byte should wait.
//
//   loadConfigInThread ── {file, env} ──▶ this module as a worker ── {config} or {problems} ──▶

import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads'
import type { Config } from '../config/config.ts'
import { ConfigError, type ConfigProblem } from '../config/config-error.ts'
import { loadConfig } from '../config/load.ts'

/** A load that takes longer is given up: the running snapshot stays. */
const loadMsMax = 60_000

interface LoadRequest {
  readonly file: string
  readonly env: Readonly<Record<string, string | undefined>>
}

type LoadReply =
  | { readonly kind: 'config'; readonly config: Config }
  | { readonly kind: 'problems'; readonly problems: readonly ConfigProblem[] }

/**
 * @param request `env` overrides single values
 * @throws {ConfigError} with every problem of the file
 */
export async function loadConfigInThread(request: LoadRequest): Promise<Config> {
  const worker = new Worker(new URL(import.meta.url), { workerData: request })
  const timer = setTimeout(() => void worker.terminate(), loadMsMax)
  try {
    const reply = await new Promise<LoadReply>((resolve, reject) => {
      worker.once('message', resolve)
      worker.once('error', reject)
      worker.once('exit', (code) => reject(new Error(`loading ${request.file} took over ${loadMsMax} ms or its thread died (exit ${code})`)))
    })
    if (reply.kind === 'problems') throw new ConfigError(reply.problems)
    return reply.config
  } finally {
    clearTimeout(timer)
    void worker.terminate()
  }
}

function load({ file, env }: LoadRequest): LoadReply {
  try {
    return { kind: 'config', config: loadConfig({ file, env }) }
  } catch (error) {
    if (error instanceof ConfigError) return { kind: 'problems', problems: error.problems }
    throw error
  }
}

if (!isMainThread && parentPort !== null) {
  const request: LoadRequest = workerData
  parentPort.postMessage(load(request))
}
