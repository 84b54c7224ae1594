// The admin server at each of its places: an address, and perhaps a Unix socket. A reload opens what is new beside what there is, and closes what is
// old once nothing can fail any more.

import { formatSocketAddress, type SocketAddress } from '../../core/net/socket-address.ts'
import { createAdminServer, type AdminEntry, type AdminServer, type AdminSources } from '../../observe/admin/server.ts'

interface Open {
  readonly entry: AdminEntry
  readonly server: AdminServer
}

export class AdminServers {
  readonly #sources: AdminSources
  readonly #open = new Map<string, Open>()
  #address: SocketAddress | undefined

  constructor(sources: AdminSources) {
    this.#sources = sources
  }

  /** Undefined before it is open, and once it is closed. */
  get address(): SocketAddress | undefined {
    return this.#address
  }

  /**
   * Opens those of the entries that are not open.
   * @returns for when nothing can fail any more: `commit` changes those that there are and closes all others; and `undo`
   * @throws an error that names what can't be bound: then it is as before
   */
  async open(entries: readonly AdminEntry[]): Promise<{ readonly commit: () => Promise<void>; readonly undo: () => Promise<void> }> {
    const opened: Open[] = []
    let bound: SocketAddress | undefined
    const undo = async (): Promise<void> => {
      for (const { server } of opened) await server.close()
    }
    try {
      for (const entry of entries) {
        const running = this.#open.get(nameOf(entry))?.entry
        if (running !== undefined) {
          if (hasTls(running) !== hasTls(entry)) throw new Error(`admin.certificate ${hasTls(entry) ? 'is new' : 'is gone'}: restart to change that, or move admin.address`)
          continue
        }
        const server = createAdminServer(entry, this.#sources)
        bound = await bind(entry, server) ?? bound
        opened.push({ entry, server })
      }
    } catch (error) {
      await undo()
      throw error
    }
    const commit = async (): Promise<void> => {
      const names = new Set(entries.map(nameOf))
      for (const [name, { server }] of this.#open) {
        if (names.has(name)) continue
        this.#open.delete(name)
        await server.close()
      }
      for (const entry of entries) this.#open.get(nameOf(entry))?.server.change(entry)
      for (const each of opened) this.#open.set(nameOf(each.entry), each)
      this.#address = bound ?? this.#address
    }
    return { commit, undo }
  }

  async close(): Promise<void> {
    const open = [...this.#open.values()]
    this.#open.clear()
    this.#address = undefined
    await Promise.all(open.map(async ({ server }) => await server.close()))
  }
}

function nameOf(entry: AdminEntry): string {
  return entry.kind === 'socket' ? entry.path : formatSocketAddress(entry.address)
}

function hasTls(entry: AdminEntry): boolean {
  return entry.kind === 'address' && entry.tls !== undefined
}

async function bind(entry: AdminEntry, server: AdminServer): Promise<SocketAddress | undefined> {
  try {
    return await server.listen()
  } catch (error) {
    throw new Error(`${entry.kind === 'socket' ? 'admin.socket' : 'admin.address'} ${nameOf(entry)} can't be bound: ${error instanceof Error ? error.message : String(error)}`, { cause: error })
  }
}
