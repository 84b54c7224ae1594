// The store that a configuration names.

import { resolve } from 'node:path'
import type { StateConfig } from '../config/config.ts'
import { FileStore } from './file/file-store.ts'
import { hasUnfinishedImport } from './state-file.ts'
import { StoreUnavailableError, type Store } from './store.ts'

/**
 * Refuses one into which an import is not complete: a node whose revocation is missing would get in.
 * @param folder that relative paths begin at
 * @throws {StoreUnavailableError}
 */
export async function openStore(state: StateConfig, folder: string): Promise<Store> {
  const store = await openForImport(state, folder)
  try {
    if (!await hasUnfinishedImport(store)) return store
  } catch (error) {
    await store.close()
    throw error
  }
  await store.close()
  throw new StoreUnavailableError('an import into the store was interrupted; expected it to be run again: sluice state import, with the same file')
}

/** As `openStore`, an interrupted import or not. */
export async function openForImport(state: StateConfig, folder: string): Promise<Store> {
  switch (state.kind) {
    case 'file': return await FileStore.open(resolve(folder, state.directory))
    case 'etcd': {
      const { endpoints, prefix, caFile, certificate, user } = state
      // Loaded where it is needed: gRPC takes 100 ms and 24 MB.
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
