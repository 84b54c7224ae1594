// Builds what the tests need and the cache lacks, with a line of progress now and then, before the tests' time begins: on a
// busy machine the build alone takes longer than tap lets a test file run.

import { labBinaries, nodeBinaries } from './binaries.ts'
import { cannotRunNodes } from './node.ts'

// Without a handler a signal would end the process at once, and leave the folder that it works in.
for (const [signal, number] of Object.entries({ SIGHUP: 1, SIGINT: 2, SIGTERM: 15 })) process.once(signal, () => process.exit(128 + number))

const report = (line: string): void => void process.stderr.write(`${line}\n`)
await labBinaries(report)
const why = cannotRunNodes()
if (why === undefined) await nodeBinaries(report)
else report(`no node: ${why}`)
