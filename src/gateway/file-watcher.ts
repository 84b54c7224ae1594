// Tells when a file has changed and has come to rest. It looks at the file's status once a second, which sees edits,
// renames, the symbolic links that a Kubernetes ConfigMap is swapped by, and network file systems alike.

import { statSync } from 'node:fs'
import { stat } from 'node:fs/promises'

/** Between two looks; a change must also stay unchanged for one look, so that a half-written file is not taken. */
const defaultLookIntervalMs = 1_000

export interface FileWatcherOptions {
  readonly file: string
  readonly onChange: () => void
  /** @default 1_000 */
  readonly lookIntervalMs?: number
}

export class FileWatcher {
  readonly #file: string
  readonly #onChange: () => void
  readonly #timer: NodeJS.Timeout
  /** What was last loaded, and what the last look saw; empty while there is no file. */
  #loaded: string
  #seen: string
  #looking = false

  /** What the file is now counts as loaded: make the watcher first, then load. */
  constructor({ file, onChange, lookIntervalMs = defaultLookIntervalMs }: FileWatcherOptions) {
    this.#file = file
    this.#onChange = onChange
    this.#loaded = identityNow(file)
    this.#seen = this.#loaded
    this.#timer = setInterval(() => void this.#look(), lookIntervalMs)
    this.#timer.unref()
  }

  /** The file is about to be loaded for another reason: as it is now, it need not be told of. */
  loading(): void {
    this.#loaded = identityNow(this.#file)
  }

  close(): void {
    clearInterval(this.#timer)
  }

  async #look(): Promise<void> {
    // A network file system that hangs must not gather looks, which would take every thread that other files need.
    if (this.#looking) return
    this.#looking = true
    const now = await stat(this.#file, { bigint: true }).then(identityOf, () => '')
    this.#looking = false
    const atRest = now === this.#seen
    this.#seen = now
    // Gone for a moment between an editor's two renames, or for good: either way there is nothing to load.
    if (!atRest || now === '' || now === this.#loaded) return
    this.#loaded = now
    this.#onChange()
  }
}

/** Why there is no such file, or none that may be read, is for the load to tell. */
function identityNow(file: string): string {
  try {
    return identityOf(statSync(file, { bigint: true }))
  } catch {
    return ''
  }
}

function identityOf({ dev, ino, size, mtimeNs, ctimeNs }: { readonly dev: bigint; readonly ino: bigint; readonly size: bigint; readonly mtimeNs: bigint; readonly ctimeNs: bigint }): string {
  return [dev, ino, size, mtimeNs, ctimeNs].join(' ')
}
