// From the reloads to the tables that are printed. Pure.

import type { Machine } from '../machine.ts'
import { row, withSpread } from '../report.ts'
import { ratioToBest, summarise } from '../statistics.ts'
import type { ReloadOptions } from './options.ts'
import type { ReloadResult, Window } from './session.ts'

const columns: readonly { readonly field: keyof Window, readonly title: string }[] = [
  { field: 'p50Us', title: 'p50, µs' }, { field: 'p99Us', title: 'p99, µs' }, { field: 'p999Us', title: 'p99.9, µs' }, { field: 'maxUs', title: 'max, µs' },
]

/** @returns Markdown, a line a line */
export function renderReloads({ reloads, loggedMs }: ReloadResult, { hostnames, requestsPerSecond, windowMs }: ReloadOptions, machine: Machine): string {
  const [before, during] = [reloads.map((reload) => reload.before), reloads.map((reload) => reload.during)]
  const liveMs = reloads.map((reload) => reload.liveMs)
  return `# Reload of ${hostnames.toLocaleString('en')} tenants, 1 % changed

${machine.cores} cores (${machine.cpu}), ${machine.kernel}, Node ${machine.node}. ${reloads.length} reloads under ${requestsPerSecond.toLocaleString('en')} echoes/s of 128 B over 64 connections, loopback.
Cells are medians over the windows of ${windowMs / 1000} s, with (least–most); × is of the window before in the same turn, and a median too.

${row(['echoes', 'requests', ...columns.map(({ title }) => title), 'generator late p99, µs'])}
|---|--:|${columns.map(() => '--:|').join('')}--:|
${windowsRow('without a reload', before)}
${windowsRow('with a reload', during)}
${row(['×', '', ...columns.map(({ field }) => ratioOf(field, before, during)), ''])}

${row(['reload', 'ms', 'in turn'])}
|---|--:|---|
${timesRow('from SIGHUP to the first new connection at the new endpoint', liveMs)}
${timesRow('the log\'s `ms`', loggedMs)}
`
}

function windowsRow(title: string, windows: readonly Window[]): string {
  const requests = windows.reduce((sum, window) => sum + window.requests, 0)
  const cells = [...columns.map(({ field }) => field), 'generatorLateP99Us' as const].map((field) => cellOf(windows.map((window) => window[field])))
  return row([title, requests.toLocaleString('en'), ...cells])
}

function ratioOf(field: keyof Window, before: readonly Window[], during: readonly Window[]): string {
  const runs = (windows: readonly Window[]) => windows.map((window, run) => ({ run, value: window[field] }))
  return ratioToBest(runs(during), runs(before), 'less')?.toFixed(2) ?? '–'
}

function timesRow(title: string, times: readonly number[]): string {
  return row([title, cellOf(times), times.map((ms) => ms.toFixed(0)).join(', ')])
}

function cellOf(values: readonly number[]): string {
  const summary = summarise(values)
  return summary === undefined ? '–' : withSpread(summary, 0)
}
