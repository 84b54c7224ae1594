// A Unix socket under a name. It is bound under another one first and then renamed, so that it appears when it already listens, with its
// mode: a process that takes another's place leaves no moment without one, and what one that died has left is no obstacle.

import { randomBytes } from 'node:crypto'
import { access, chmod, link, lstat, rename, rm } from 'node:fs/promises'
import { dirname, join } from 'node:path'

export class NamedSocket {
  readonly #path: string
  readonly #inode: number

  private constructor(path: string, inode: number) {
    this.#path = path
    this.#inode = inode
  }

  /**
   * @param listen binds the path that it is given
   * @throws the system's error, or that something else has the name
   */
  static async bind({ path, mode, listen }: { readonly path: string; readonly mode: number; readonly listen: (draft: string) => Promise<void> }): Promise<NamedSocket> {
    const there = await lstat(path).catch(() => undefined)
    if (there !== undefined && !there.isSocket()) throw new Error('something is there that is no socket')
    // Bound to a folder that is missing, a socket would have EACCES for it.
    await access(dirname(path))
    const draft = draftOf(path)
    await listen(draft)
    await chmod(draft, mode)
    const { ino } = await lstat(draft)
    await rename(draft, path)
    return new NamedSocket(path, ino)
  }

  /** Removes the name, if it is still this one's. */
  async remove(): Promise<void> {
    if (!await this.#isOwn(this.#path)) return
    // Between a look and a removal another process may take the name: so it is taken away first, and looked at where nobody else comes.
    const away = draftOf(this.#path)
    await rename(this.#path, away).catch(() => undefined)
    if (!await this.#isOwn(away)) await link(away, this.#path).catch(() => undefined)
    await rm(away, { force: true })
  }

  async #isOwn(path: string): Promise<boolean> {
    return (await lstat(path).catch(() => undefined))?.ino === this.#inode
  }
}

/** Beside it, under a name that nobody looks for. */
function draftOf(path: string): string {
  return join(dirname(path), `.${randomBytes(4).toString('hex')}`)
}
