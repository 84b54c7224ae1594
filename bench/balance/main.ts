// npm run bench:balance: what schedulers cost, and how they distribute connections. Nothing is relayed.

import { runCommand, tell } from '../command.ts'
import { describeMachine } from '../machine.ts'
import { measureBalance } from './measure.ts'
import { parseBalanceOptions, usage } from './options.ts'
import { renderBalance } from './report.ts'

await runCommand({
  name: 'bench:balance', parse: parseBalanceOptions, usage,
  run: async (options) => {
    process.stdout.write(renderBalance(measureBalance(options, tell), options, describeMachine()))
    return await Promise.resolve(0)
  },
})
