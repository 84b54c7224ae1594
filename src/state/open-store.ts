// The store that a configuration names.

import { resolve } from 'node:path'
import type { StateConfig } from '../config/config.ts'
import { FileStore } from './file/file-store.ts'
import type { Store } from './store.ts'

/**
 * @param folder that relative paths begin at
 * @throws {StoreUnavailableError}
 */
export async function openStore(state: StateConfig, folder: string): Promise<Store> {
  switch (state.kind) {
    case 'file': return await FileStore.open(resolve(folder, state.directory))
    case 'etcd': {
      const { endpoints, prefix, caFile, certificate, user } = state
      // Loaded where it is needed: gRPC is large.
      const { EtcdStore } = await import('./etcd/etcd-store.ts')
      return await EtcdStore.open({
        endpoints, prefix,
        caFile: caFile === undefined ? undefined : resolve(folder, caFile),
        certificate: certificate === undefined ? undefined : { certFile: resolve(folder, certificate.certFile), keyFile: resolve(folder, certificate.keyFile) },
        user: user === undefined ? undefined : { name: user.name, passwordFile: resolve(folder, user.passwordFile) },
      })
    }
    default: return state satisfies never
  }
}
