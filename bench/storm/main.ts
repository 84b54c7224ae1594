// npm run bench:storm: from the command line to measurements, tables, a plot and an exit code.

import { runCommand, save, tell } from '../command.ts'
import { describeMachine } from '../machine.ts'
import { duration, progressLine } from '../report.ts'
import { inWorkFolder } from '../work-folder.ts'
import { prepareNetwork } from './network.ts'
import { allModes, parseStormOptions, type StormOptions, stormUsage } from './options.ts'
import { renderStormPlot } from './plot.ts'
import { columnsOf, renderStorm, type StormResult } from './report.ts'
import { runStormSession, type StormMeasurement } from './session.ts'
import { findTargets, targetNames } from './targets.ts'

async function bench(options: StormOptions): Promise<number> {
  const [startedAt, startedMs] = [new Date().toISOString(), performance.now()]
  const measurements: StormMeasurement[] = []
  const modes = allModes.filter((mode) => options.modes.includes(mode)).map((mode) => findTargets(options, mode))
  let queueMax: number
  try {
    queueMax = prepareNetwork()
    for (const { mode, found, absent } of modes) tell(`${mode}: ${options.runs} runs × ${found.map(({ name }) => name).join(', ')}${absent.map((each) => `; not ${each}`).join('')}`)
    await inWorkFolder(async (directory) => await runStormSession(options, {
      directory,
      targetsOf: (mode) => modes.find((each) => each.mode === mode)?.found ?? [],
      onMeasurement: (measurement) => {
        measurements.push(measurement)
        const { run, workload, target } = measurement
        tell(`${duration((performance.now() - startedMs) / 1000).padStart(9)}  run ${run}/${options.runs}  ${workload.padEnd(6)} ${target.padEnd(12)} ${progressLine(measurement, columnsOf(workload))}`)
      },
    }))
  } catch (error) {
    tell(`bench:storm: ${error instanceof Error ? error.message : String(error)}`)
    return 1
  }
  const result: StormResult = { startedAt, tookSeconds: (performance.now() - startedMs) / 1000, machine: describeMachine(), queueMax, options, modes, measurements }
  save({ prefix: 'storm-', startedAt, result, report: renderStorm(result), ...(options.modes.includes('storm') ? { plot: renderStormPlot(result) } : {}), ...options })
  return measurements.some(({ failure }) => failure !== undefined) ? 1 : 0
}

await runCommand({ name: 'bench:storm', parse: (args) => parseStormOptions(args, targetNames), usage: stormUsage(targetNames), run: bench })
