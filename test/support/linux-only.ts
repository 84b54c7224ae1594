// Imported first, with `test` from here, by test files of what runs on Linux only: elsewhere their other imports would not
// even load.

if (process.platform !== 'linux') {
  process.stdout.write(`TAP version 14\n1..0 # SKIP the Linux driver does not run on ${process.platform}\n`)
  process.exit(0)
}

export { test } from 'tap'
export const driverName = 'linux driver'
