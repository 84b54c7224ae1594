// The temporary folder of a lab, which goes with it, also when the process is told to end.

import { rmSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

/** The signals of a terminal and of a test runner that gives up, by number. */
const fatalSignals = { SIGHUP: 1, SIGINT: 2, SIGTERM: 15 } as const

export interface LabFolder {
  readonly directory: string
  readonly remove: () => Promise<void>
}

export async function createLabFolder(): Promise<LabFolder> {
  const directory = await mkdtemp(join(tmpdir(), 'sluice-lab-'))
  const forgetSignals = removeWhenInterrupted(directory)
  return {
    directory,
    remove: async () => {
      await rm(directory, { recursive: true, force: true })
      forgetSignals()
    },
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
