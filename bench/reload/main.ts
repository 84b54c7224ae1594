// npm run bench:reload: what a reload of many tenants does to the echoes that go on meanwhile, and when it is live.

import { runCommand, tell } from '../command.ts'
import { describeMachine } from '../machine.ts'
import { parseReloadOptions, type ReloadOptions, usage } from './options.ts'
import { renderReloads } from './report.ts'
import { measureReloads } from './session.ts'

async function bench(options: ReloadOptions): Promise<number> {
  try {
    process.stdout.write(renderReloads(await measureReloads(options, tell), options, describeMachine()))
    return 0
  } catch (error) {
    tell(`bench:reload: ${error instanceof Error ? error.message : String(error)}`)
    return 1
  }
}

await runCommand({ name: 'bench:reload', parse: parseReloadOptions, usage, run: bench })
