// The list of gateways that was told last, kept for the next start: the one in the configuration may be gone by then.
//
//   STATE/gateways.json     ["wss://a.example.com:6443", …]

import { mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { parseControlMessage } from '../../core/tunnel/control-message.ts'

export class ToldGateways {
  readonly #file: string
  readonly #failed: (error: unknown) => void
  #list: readonly string[]

  /** @param failed it can't be kept: it is told anew with the next session */
  constructor(stateDirectory: string, failed: (error: unknown) => void) {
    this.#file = join(stateDirectory, 'gateways.json')
    this.#failed = failed
    this.#list = readList(this.#file)
  }

  get list(): readonly string[] {
    return this.#list
  }

  replace(list: readonly string[]): void {
    if (list.join(' ') === this.#list.join(' ')) return
    this.#list = list
    try {
      mkdirSync(join(this.#file, '..'), { recursive: true, mode: 0o700 })
      writeFileSync(`${this.#file}.new`, JSON.stringify(list), { mode: 0o600 })
      renameSync(`${this.#file}.new`, this.#file)
    } catch (error) {
      this.#failed(error)
    }
  }
}

/** What can't be read was not told. */
function readList(file: string): readonly string[] {
  try {
    return parseControlMessage(`{"gateways":${readFileSync(file, 'utf8')}}`)?.gateways ?? []
  } catch {
    return []
  }
}
