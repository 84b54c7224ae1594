// Tells when a file has changed and has come to rest. It looks at the file's status once a second, which sees edits,
// renames, the symbolic links that a Kubernetes ConfigMap is swapped by, and network file systems alike.

import { unwatchFile, watchFile, type StatsListener } from 'node:fs'

/** Between two looks; a change must also stay unchanged for one look, so that a half-written file is not taken. */
const lookIntervalMs = 1_000

export interface FileWatcher {
  close(): void
}

export function watchFileAtRest(file: string, onChange: () => void): FileWatcher {
  let timer: NodeJS.Timeout | undefined
  const listener: StatsListener = (current) => {
    clearTimeout(timer)
    timer = undefined
    // Gone for a moment between an editor's two renames, or for good: either way there is nothing to load.
    if (current.nlink === 0) return
    timer = setTimeout(onChange, lookIntervalMs + 100)
  }
  watchFile(file, { interval: lookIntervalMs, persistent: false }, listener)
  return {
    close: () => {
      clearTimeout(timer)
      unwatchFile(file, listener)
    },
  }
}
