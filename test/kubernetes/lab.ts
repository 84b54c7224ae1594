// The control planes of three tenants, on loopback and without root:
//
//   one etcd, authentication on ── /tenants/acme    ── kube-apiserver of acme,    CA of acme,    127.0.0.1:a
//                               ── /tenants/globex  ── kube-apiserver of globex,  CA of globex,  127.0.0.1:b
//                               ── /tenants/initech ── kube-apiserver of initech, CA of initech, 127.0.0.1:c
//
// Everything lives in one temporary folder, and ends and goes with the tests, also when these are interrupted.

import { join } from 'node:path'
import { ApiServer } from './api-server.ts'
import type { LabBinaries } from './binaries.ts'
import { Etcd } from './etcd.ts'
import { createLabFolder } from './lab-folder.ts'

export const tenantNames = ['acme', 'globex', 'initech'] as const

export type TenantName = typeof tenantNames[number]

export interface Lab {
  readonly directory: string
  readonly tenants: Readonly<Record<TenantName, ApiServer>>
  /** The end of every server's log, for a test that failed. */
  readonly logTails: () => Promise<string>
  readonly stop: () => Promise<void>
}

export async function startLab(binaries: LabBinaries): Promise<Lab> {
  const { directory, remove } = await createLabFolder()
  const stops: (() => Promise<void>)[] = []
  const stop = async (): Promise<void> => {
    // API servers first: without their store they take long to end.
    for (const stopOne of stops.toReversed()) await stopOne()
    await remove()
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
