// Imported first by test files of what runs on Linux only: elsewhere their imports would not even load.

if (process.platform !== 'linux') {
  process.stdout.write(`TAP version 14\n1..0 # SKIP the Linux driver does not run on ${process.platform}\n`)
  process.exit(0)
}
