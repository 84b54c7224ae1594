// The control planes of three tenants, on loopback and without root:
//
//   one etcd, authentication on ── /tenants/acme    ── kube-apiserver of acme,    CA of acme,    127.0.0.1:a
//                               ── /tenants/globex  ── kube-apiserver of globex,  CA of globex,  127.0.0.1:b
//                               ── /tenants/initech ── kube-apiserver of initech, CA of initech, 127.0.0.1:c
//
// Everything lives in one temporary folder, and ends and goes with the tests, also when these are interrupted.

import { rmSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { ApiServer } from './api-server.ts'
import type { LabBinaries } from './binaries.ts'
import { Etcd } from './etcd.ts'

export const tenantNames = ['acme', 'globex', 'initech'] as const

export type TenantName = typeof tenantNames[number]

/** The signals of a terminal and of a test runner that gives up, by number. */
const fatalSignals = { SIGHUP: 1, SIGINT: 2, SIGTERM: 15 } as const

export interface Lab {
  readonly directory: string
  readonly tenants: Readonly<Record<TenantName, ApiServer>>
  /** The end of every server's log, for a test that failed. */
  readonly logTails: () => Promise<string>
  readonly stop: () => Promise<void>
}

export async function startLab(binaries: LabBinaries): Promise<Lab> {
  const directory = await mkdtemp(join(tmpdir(), 'sluice-lab-'))
  const forgetSignals = removeWhenInterrupted(directory)
  const stops: (() => Promise<void>)[] = []
  const stop = async (): Promise<void> => {
    // API servers first: without their store they take long to end.
    for (const stopOne of stops.toReversed()) await stopOne()
    await rm(directory, { recursive: true, force: true })
    forgetSignals()
  }
  try {
    const etcd = await Etcd.start({ executable: binaries.etcd, directory: join(directory, 'etcd'), tenants: tenantNames })
    stops.push(() => etcd.stop())
    const create = async (tenant: TenantName): Promise<ApiServer> => {
      const server = await ApiServer.create({
        tenant,
        hostname: `${tenant}.k8s.example.test`,
        executable: binaries.kubeApiserver,
        directory: join(directory, tenant),
        etcd: await etcd.access(tenant),
      })
      stops.push(() => server.stop())
      return server
    }
    const tenants = { acme: await create('acme'), globex: await create('globex'), initech: await create('initech') }
    await Promise.all(Object.values(tenants).map(server => server.start()))
    const logTails = async (): Promise<string> =>
      (await Promise.all([etcd, ...Object.values(tenants)].map(server => server.logTail()))).join('\n')
    return { directory, tenants, logTails, stop }
  } catch (error) {
    await stop()
    throw error
  }
}

/** Ends the process, and by that its children, with the status that the signal would have given it. */
function removeWhenInterrupted(directory: string): () => void {
  const handlers = Object.entries(fatalSignals).map(([signal, number]) => {
    const handler = (): void => {
      process.once('exit', () => rmSync(directory, { recursive: true, force: true }))
      process.exit(128 + number)
    }
    process.once(signal, handler)
    return { signal, handler }
  })
  return () => {
    for (const { signal, handler } of handlers) process.off(signal, handler)
  }
}
