// Faults at random, for as long as is asked: backends die, stop and reset, clients misbehave in every way that we know of, the
// configuration changes and is broken, and meanwhile every byte is compared. At the end nothing may be left over.
//
//   node test/soak/faults.ts [--minutes 60 | --seconds 30] [--seed N] [--driver auto|linux|node] [--kernel-lane off|auto|always] [--rate 25] [--connections 500]
//
//   faults/plan.ts      what a connection does          faults/chaos.ts   what is done to backends and gateway
//   faults/judge.ts     what must hold of it            faults/watch.ts   what must hold of the gateway
//
// The same seed makes the same plans and the same faults; what meets what depends on timing.

import { randomInt } from 'node:crypto'
import { parseArgs } from 'node:util'
import { formatReport } from './faults/report.ts'
import { runFaults } from './faults/run.ts'

const { values } = parseArgs({
  options: {
    'minutes': { type: 'string' },
    'seconds': { type: 'string' },
    'seed': { type: 'string' },
    'driver': { type: 'string' },
    'kernel-lane': { type: 'string' },
    'rate': { type: 'string', default: '25' },
    'connections': { type: 'string', default: '500' },
  },
})
const seconds = values.seconds === undefined ? Number(values.minutes ?? '60') * 60 : Number(values.seconds)
const seed = values.seed === undefined ? randomInt(1, 2 ** 31) : Number(values.seed)
const [rate, connectionsMax] = [Number(values.rate), Number(values.connections)]
if (![seconds, seed, rate, connectionsMax].every((value) => value > 0)) throw new Error('a number over 0 is needed for each option but --driver and --kernel-lane')
process.stderr.write(`seed ${seed}\n`)
const report = await runFaults({
  seconds, seed, rate, connectionsMax,
  ...(values.driver === undefined ? {} : { driver: values.driver }),
  ...(values['kernel-lane'] === undefined ? {} : { kernelLane: values['kernel-lane'] }),
  progress: (line) => process.stderr.write(`${line}\n`),
})
process.stdout.write(`${formatReport(report)}\n`)
process.exitCode = report.violations.length === 0 ? 0 : 1
