// A folder to work in beside what is kept, and which goes when the work is over. A process that is killed leaves its folder
// behind: the next one that comes along removes it. Names say whose they are: `build-<pid>-XXXXXX`.

import { rmSync } from 'node:fs'
import { mkdtemp, readdir, rm } from 'node:fs/promises'
import { join } from 'node:path'

export interface WorkFolder {
  readonly path: string
  /** At once; also done when the process exits. */
  readonly remove: () => void
}

/** @param parent exists */
export async function createWorkFolder(parent: string): Promise<WorkFolder> {
  const path = await mkdtemp(join(parent, `build-${process.pid}-`))
  const remove = (): void => {
    process.off('exit', remove)
    rmSync(path, { recursive: true, force: true })
  }
  process.once('exit', remove)
  return { path, remove }
}

/** Removes work folders of processes that there are no more. @param parent may not exist */
export async function removeLeftovers(parent: string): Promise<void> {
  const names = await readdir(parent).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return []
    throw error
  })
  for (const name of names.filter(isLeftover)) await rm(join(parent, name), { recursive: true, force: true })
}

function isLeftover(name: string): boolean {
  const pid = /^build-(\d+)-/.exec(name)?.[1]
  // Earlier versions' names had no pid.
  return pid === undefined ? /^build-\w{6}$/.test(name) : !isRunning(Number(pid))
}

function isRunning(pid: number): boolean {
  try {
    return process.kill(pid, 0)
  } catch (error) {
    // Of another user it can't be asked: it runs.
    return error instanceof Error && 'code' in error && error.code === 'EPERM'
  }
}
