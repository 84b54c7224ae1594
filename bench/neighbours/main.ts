// npm run bench:neighbours: from the command line to measurements, tables, a plot and an exit code.

import { runCommand, save, tell } from '../command.ts'
import { describeMachine } from '../machine.ts'
import { duration, progressLine } from '../report.ts'
import { ownVersion } from '../tunnel/peers/sluice.ts'
import { inWorkFolder } from '../work-folder.ts'
import { type NeighboursOptions, neighboursUsage, parseNeighboursOptions } from './options.ts'
import { renderPlot } from './plot.ts'
import { columns, type NeighboursResult, renderNeighbours } from './report.ts'
import { assertOwnNetwork, expiry, readTableLimits, type TableLimits } from './segment.ts'
import { type NeighboursMeasurement, runNeighboursSession } from './session.ts'

/** Of other namespaces of the machine. */
const otherEntries = 64

async function bench(options: NeighboursOptions): Promise<number> {
  const [startedAt, startedMs] = [new Date().toISOString(), performance.now()]
  const measurements: NeighboursMeasurement[] = []
  let limits: TableLimits
  try {
    assertOwnNetwork()
    limits = readTableLimits()
    assertRoom(options, limits)
    tell(`${options.runs} runs × calls every ${options.intervalsMs.map((each) => each / 1000).join(', ')} s × direct, through the gateway × ${options.durationMs / 1000} s`)
    await inWorkFolder(async (directory) => await runNeighboursSession(options, {
      directory,
      onMeasurement: (measurement) => {
        measurements.push(measurement)
        const { run, workload, target } = measurement
        tell(`${duration((performance.now() - startedMs) / 1000).padStart(9)}  run ${run}/${options.runs}  ${workload.padEnd(10)} ${target.padEnd(8)} ${progressLine(measurement, columns)}`)
      },
    }))
  } catch (error) {
    tell(`bench:neighbours: ${error instanceof Error ? error.message : String(error)}`)
    return 1
  }
  const result: NeighboursResult = { startedAt, tookSeconds: (performance.now() - startedMs) / 1000, machine: describeMachine(), options, version: ownVersion(), limits, expiry, measurements }
  save({ prefix: 'neighbours-', startedAt, result, report: renderNeighbours(result), plot: renderPlot(result), ...options })
  return measurements.some(({ failure }) => failure !== undefined) ? 1 : 0
}

/** Each host would have a table of its own; here all share one, and what it drops too early is asked for again. */
function assertRoom({ nodes, apiServers }: NeighboursOptions, { thresh2 }: TableLimits): void {
  const wanted = 2 * nodes * apiServers + 2 * (nodes + apiServers) + otherEntries
  if (wanted > thresh2) {
    throw new Error(`all namespaces of this machine together may have ${thresh2} neighbours before the system drops some, and this takes ${wanted}. `
      + `As root, until the next boot: sysctl -w net.ipv4.neigh.default.gc_thresh3=${2 * wanted} net.ipv4.neigh.default.gc_thresh2=${wanted}; or fewer --nodes`)
  }
}

await runCommand({ name: 'bench:neighbours', parse: parseNeighboursOptions, usage: neighboursUsage, run: bench })
