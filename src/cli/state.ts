// `sluice state`: all that a store holds, into a file and out of one: as a backup, and from one kind of store to another.

import { dirname } from 'node:path'
import { parseArgs } from 'node:util'
import { ConfigError, formatProblems } from '../config/config-error.ts'
import { loadConfig } from '../config/load.ts'
import { openForImport, openStore } from '../state/open-store.ts'
import { countsOf, describeCounts, importState, readStateFile, StateFileError, stateLines } from '../state/state-file.ts'
import { StoreUnavailableError, type Store } from '../state/store.ts'
import type { CliIo } from './io.ts'

export const stateUsage = `Usage: sluice state export --config FILE > state.jsonl
       sluice state import --config FILE < state.jsonl

Everything that the store holds, join tokens and enrolled nodes, as it is at one moment: beside gateways that run. What goes with a
process that runs, such as who has which agent, is not in it. Of tokens it has the hashes only; keep it as you keep the store.

  --config FILE   the gateway's configuration: it names the store (state)

An import wants an empty directory or prefix, and no gateway that uses it yet. The whole file is checked before anything is written. One that is interrupted
is run again with the same file; until it is complete, gateways and the other commands refuse the store.

Exit codes: 0 done, 1 the store is out of reach, 2 wrong configuration, arguments or file, or a store that is not empty.

Example: from a directory into etcd
  sluice state export --config sluice.yaml > state.jsonl && sluice state import --config with-etcd.yaml < state.jsonl
`

/** @param input of an import */
export async function stateCommand(args: readonly string[], io: CliIo, input: NodeJS.ReadableStream = process.stdin): Promise<number> {
  const { values: { config: file }, positionals: [action, ...others] } = parseArgs({ args: [...args], allowPositionals: true, strict: true, options: { config: { type: 'string' } } })
  if (file === undefined || (action !== 'export' && action !== 'import') || others.length > 0) {
    io.stderr.write(`sluice state: export or import, and --config FILE are needed\n\n${stateUsage}`)
    return 2
  }
  try {
    const { state } = loadConfig({ file, env: io.env })
    if (action === 'export') await withStore(await openStore(state, dirname(file)), async (store) => await exportState(store, io))
    else {
      const found = await readStateFile(input)
      await withStore(await openForImport(state, dirname(file)), async (store) => await importState(store, found))
      io.stderr.write(`imported ${describeCounts(found.counts)}\n`)
    }
    return 0
  } catch (error) {
    if (error instanceof ConfigError) {
      io.stderr.write(formatProblems(error))
      return 2
    }
    if (!(error instanceof StoreUnavailableError) && !(error instanceof StateFileError)) throw error
    io.stderr.write(`sluice state ${action}: ${error.message}\n`)
    return error instanceof StateFileError ? 2 : 1
  }
}

async function withStore(store: Store, work: (store: Store) => Promise<void>): Promise<void> {
  try {
    await work(store)
  } finally {
    await store.close()
  }
}

async function exportState(store: Store, io: CliIo): Promise<void> {
  const entries = await store.snapshot()
  for (const line of stateLines(entries)) io.stdout.write(line)
  io.stderr.write(`exported ${describeCounts(countsOf(entries))}\n`)
}
