// npm run bench:tunnel:peers: builds the tunnels that Sluice's is measured beside, those that are not there yet. The first time
// it takes minutes, and some hundred MB of modules in Go's cache.

import { buildGoProgram } from './peers/go-program.ts'
import { goPrograms } from './peers/all.ts'

for (const [signal, code] of [['SIGINT', 130], ['SIGTERM', 143], ['SIGHUP', 129]] as const) process.once(signal, () => process.exit(code))
for (const program of goPrograms) {
  const there = await buildGoProgram(program, (line) => process.stderr.write(`${line}\n`))
  if (!there) process.exitCode = 1
}
