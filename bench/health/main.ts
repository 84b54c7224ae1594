// npm run bench:health: what checks cost, and how soon a node that dies gets no more connections.

import { runCommand, tell } from '../command.ts'
import { describeMachine } from '../machine.ts'
import { measureCosts } from './cost.ts'
import { measureNodeDeath } from './node-dies.ts'
import { parseHealthOptions, usage } from './options.ts'
import { renderHealth } from './report.ts'

await runCommand({
  name: 'bench:health', parse: parseHealthOptions, usage,
  run: async (options) => {
    try {
      const costs = await measureCosts(options, tell)
      const deaths = [await measureNodeDeath(options, false, tell), await measureNodeDeath(options, true, tell)]
      process.stdout.write(renderHealth({ costs, deaths }, options, describeMachine()))
      return 0
    } catch (error) {
      tell(`bench:health: ${error instanceof Error ? error.message : String(error)}`)
      return 1
    }
  },
})
