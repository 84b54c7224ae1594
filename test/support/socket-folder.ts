// A folder for Unix sockets, whose paths are short.

import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Test } from 'tap'

/** `t.testdir` is too long a path for a socket. */
export async function socketFolder(t: Test): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'sluice-'))
  t.teardown(async () => await rm(folder, { recursive: true, force: true }))
  return folder
}
