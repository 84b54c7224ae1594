// The command line of npm run bench:reload.

import { number, valuesOf, whole } from '../command-line.ts'

export interface ReloadOptions {
  readonly hostnames: number
  readonly reloads: number
  /** In which echoes are timed: one before each reload, one that begins with it. */
  readonly windowMs: number
  readonly warmUpMs: number
  /** From the end of a reload's window to the next one before a reload. */
  readonly pauseMs: number
  readonly requestsPerSecond: number
}

const full = { hostnames: '100000', reloads: '5', window: '1', pause: '3', rate: '5000' }
const tiny = { hostnames: '1000', reloads: '2', window: '0.2', pause: '0', rate: '500' }
const warmUpMsMax = 500

export const usage = `Reloads Sluice's configuration, 1 % of its tenants changed, while echoes at a steady rate go through it.

Usage: npm run bench:reload -- [OPTIONS]

  --hostnames N      each of a tenant of its own [${full.hostnames}]
  --reloads N        [${full.reloads}]
  --window SECONDS   in which echoes are timed: one before each reload, one that begins with it [${full.window}]
  --pause SECONDS    after each reload's window [${full.pause}]
  --rate N           requests a second, over 64 connections [${full.rate}]
  --tiny             does it run? The figures mean nothing
  --help

Exit codes: 0 measured · 1 something failed · 2 wrong options
`

/** @returns undefined when help is asked for. @throws {OptionsError} */
export function parseReloadOptions(args: readonly string[]): ReloadOptions | undefined {
  const values = valuesOf(args, ['hostnames', 'reloads', 'window', 'pause', 'rate'])
  if (values.help === true) return undefined
  const defaults = values.tiny === true ? tiny : full
  const windowMs = 1000 * number('window', values.window ?? defaults.window, { min: 0.05, max: 60 })
  return {
    // The three of every bench, and the probed one.
    hostnames: whole('hostnames', values.hostnames ?? defaults.hostnames, { min: 4, max: 200_000 }),
    reloads: whole('reloads', values.reloads ?? defaults.reloads, { min: 1, max: 1_000 }),
    windowMs,
    warmUpMs: Math.min(warmUpMsMax, windowMs),
    pauseMs: 1000 * number('pause', values.pause ?? defaults.pause, { min: 0, max: 60 }),
    requestsPerSecond: whole('rate', values.rate ?? defaults.rate, { min: 1, max: 1_000_000 }),
  }
}
