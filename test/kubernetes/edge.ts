// The lab with the gateway in front, and what the tests do with it again and again.

import { setTimeout as delay } from 'node:timers/promises'
import type { ApiServer } from './api-server.ts'
import type { LabBinaries } from './binaries.ts'
import { GatewayProcess, type Driver, type Route } from './gateway-process.ts'
import { httpsRequest, type HttpsResponse } from './https-request.ts'
import { Kubectl, type RunningKubectl } from './kubectl.ts'
import { startLab, type Lab, type TenantName } from './lab.ts'

/** Where the tests keep their objects, in every tenant. */
export const namespace = 'sluice'
const tickIntervalMs = 25

export interface Edge {
  readonly lab: Lab
  readonly gateway: GatewayProcess
  readonly routes: readonly Route[]
  /** As the tenant's administrator, through the gateway. */
  readonly kubectl: Readonly<Record<TenantName, Kubectl>>
  /** As the tenant's administrator, to any port and name. */
  readonly kubectlFor: (server: ApiServer, target: { port?: number; serverName?: string }) => Promise<Kubectl>
  readonly logTails: () => Promise<string>
  readonly stop: () => Promise<void>
}

export async function startEdge(binaries: LabBinaries, driver: Driver): Promise<Edge> {
  const lab = await startLab(binaries)
  try {
    const { acme, globex, initech } = lab.tenants
    const routes = [acme, globex, initech].map(({ tenant, hostname, port }) => ({ tenant, hostname, port }))
    const gateway = await GatewayProcess.start({ directory: lab.directory, driver, config: { routes } })
    const kubectlFor: Edge['kubectlFor'] = async (server, { port = gateway.port, serverName = server.hostname }) =>
      await Kubectl.create({
        executable: binaries.kubectl,
        directory: lab.directory,
        port,
        serverName,
        caPem: server.caPem,
        client: server.admin,
      })
    return {
      lab,
      gateway,
      routes,
      kubectl: {
        acme: await kubectlFor(acme, {}),
        globex: await kubectlFor(globex, {}),
        initech: await kubectlFor(initech, {}),
      },
      kubectlFor,
      logTails: async () => `${await lab.logTails()}\n${await gateway.logTail()}`,
      stop: async () => {
        await gateway.stop()
        await lab.stop()
      },
    }
  } catch (error) {
    await lab.stop()
    throw error
  }
}

/** One request on a new connection, as the tenant's administrator. */
export async function adminRequest(
  server: ApiServer,
  options: { readonly port: number; readonly method?: string; readonly path: string; readonly body?: unknown },
): Promise<HttpsResponse> {
  return await httpsRequest({ ...options, serverName: server.hostname, caPem: server.caPem, client: server.admin })
}

export function configMapPath(name: string): string {
  return `/api/v1/namespaces/${namespace}/configmaps/${name}`
}

/** A ConfigMap whose `count` goes up by one with each write: a watch that misses or repeats one shows it. */
export class Ticker {
  readonly #server: ApiServer
  readonly #name: string
  #count = 0

  constructor(server: ApiServer, name: string) {
    this.#server = server
    this.#name = name
  }

  /** Count 0. */
  async create(port: number): Promise<void> {
    const { status, body } = await adminRequest(this.#server, {
      port,
      method: 'POST',
      path: configMapPath(''),
      body: { metadata: { name: this.#name }, data: { count: '0' } },
    })
    if (status !== 201) throw new Error(`ConfigMap ${this.#name} not created: ${status} ${body}`)
  }

  /** @returns the count written */
  async tick(port: number): Promise<number> {
    const count = this.#count + 1
    const { status, body } = await adminRequest(this.#server, {
      port,
      method: 'PATCH',
      path: configMapPath(this.#name),
      body: { data: { count: String(count) } },
    })
    if (status !== 200) throw new Error(`tick ${count} not written: ${status} ${body}`)
    this.#count = count
    return count
  }

  /** Ticks until `work` is over, whichever way it ends. */
  async tickDuring(port: number, work: () => Promise<void>): Promise<void> {
    const over = new AbortController()
    const ticking = (async () => {
      while (!over.signal.aborted) {
        await this.tick(port)
        await delay(tickIntervalMs)
      }
    })()
    await Promise.all([ticking, work().finally(() => over.abort())])
  }
}

/** `kubectl get --watch` of one ticker: a line with the count now, then one for each write. */
export async function watchTicker(kubectl: Kubectl, name: string): Promise<RunningKubectl> {
  const watch = kubectl.start('get', 'configmap', name, `--namespace=${namespace}`, '--watch', '--output=jsonpath={.data.count}{"\\n"}')
  await watch.waitForLine(() => true, `first state of ${name}`)
  return watch
}
