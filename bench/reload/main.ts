// npm run bench:reload: what a reload of many tenants does to the echoes that go on meanwhile, and when it is live.

import { describeMachine } from '../machine.ts'
import { OptionsError } from '../options.ts'
import { parseReloadOptions, type ReloadOptions, usage } from './options.ts'
import { renderReloads } from './report.ts'
import { measureReloads } from './session.ts'

/** The table goes to standard output, all else here. */
function tell(text: string): void {
  process.stderr.write(`${text}\n`)
}

async function bench(options: ReloadOptions): Promise<number> {
  try {
    process.stdout.write(renderReloads(await measureReloads(options, tell), options, describeMachine()))
    return 0
  } catch (error) {
    tell(`bench:reload: ${error instanceof Error ? error.message : String(error)}`)
    return 1
  }
}

async function main(args: readonly string[]): Promise<number> {
  try {
    const options = parseReloadOptions(args)
    if (options !== undefined) return await bench(options)
    process.stdout.write(usage)
    return 0
  } catch (error) {
    if (!(error instanceof OptionsError)) throw error
    tell(`bench:reload: ${error.message}\n--help tells more`)
    return 2
  }
}

if (process.platform !== 'linux') {
  tell('bench:reload: it takes Linux')
  process.exit(1)
}
// An exit runs the handlers that end the relay and remove files.
for (const [signal, code] of [['SIGINT', 130], ['SIGTERM', 143], ['SIGHUP', 129]] as const) process.once(signal, () => process.exit(code))
process.exitCode = await main(process.argv.slice(2))
