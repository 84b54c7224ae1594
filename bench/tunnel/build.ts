// npm run bench:tunnel:peers: builds the tunnels that Sluice's is measured beside, those that are not there yet. The first time
// it takes minutes, and some hundred MB of modules in Go's cache.

import { exitOnSignals, tell } from '../command.ts'
import { buildGoProgram } from './peers/go-program.ts'
import { goPrograms } from './peers/all.ts'

exitOnSignals()
for (const program of goPrograms) {
  const there = await buildGoProgram(program, tell)
  if (!there) process.exitCode = 1
}
