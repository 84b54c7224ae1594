// The control plane of one tenant: etcd and the API server.

import { join } from 'node:path'
import { ApiServer, type ApiServerOptions } from './api-server.ts'
import type { LabBinaries } from './binaries.ts'
import { Etcd } from './etcd.ts'

export interface ControlPlane {
  readonly server: ApiServer
  readonly logTails: () => Promise<string>
  readonly stop: () => Promise<void>
}

export async function startControlPlane(binaries: LabBinaries, options: Pick<ApiServerOptions, 'tenant' | 'directory' | 'listen' | 'advertised' | 'egressSocket'>): Promise<ControlPlane> {
  const { tenant, directory } = options
  const etcd = await Etcd.start({ executable: binaries.etcd, directory: join(directory, 'etcd'), tenants: [tenant] })
  try {
    const server = await ApiServer.create({
      ...options,
      hostname: `${tenant}.k8s.example.test`,
      executable: binaries.kubeApiserver,
      directory: join(directory, tenant),
      etcd: await etcd.access(tenant),
    })
    await server.start().catch(async (error: unknown) => {
      await server.stop()
      throw error
    })
    return {
      server,
      logTails: async () => `${await etcd.logTail()}\n${await server.logTail()}`,
      stop: async () => {
        await server.stop()
        await etcd.stop()
      },
    }
  } catch (error) {
    await etcd.stop()
    throw error
  }
}
