// Latencies of the echo load as SVG, a panel for each number of connections: from the fastest request on the left to the slowest of
// a thousand on the right. Of each target the run whose p50 is the median, as it was. Pure.

import { latencyShares } from './conclude.ts'
import { relayColours, renderPicture, styleOf } from './picture.ts'
import type { BenchResult, Measurement } from './result.ts'
import type { Workload } from './workload.ts'

const panel = { left: 66, width: 380, height: 240, top: 92, gap: 460 } as const
/** More would not fit beside each other. */
const panelsMax = 2
const pageHeight = 372
const legendColumn = 118
const shownShares = [0, 0.5, 0.9, 0.99, 0.999] as const
/** Of a decade. */
const ticks = [1, 2, 5] as const
type Curve = Measurement & { readonly latencyUs: readonly number[] }

/** @returns SVG, a line a line; undefined where there is nothing to show */
export function renderLatencyPlot({ workloads, targets, measurements, options }: Pick<BenchResult, 'workloads' | 'targets' | 'measurements' | 'options'>): string | undefined {
  const panels = workloads.filter(({ spec }) => spec.kind === 'echo').slice(0, panelsMax).flatMap((workload) => {
    const curves = targets.flatMap(({ name }) => medianRun(measurements.filter((each) => each.workload === workload.name && each.target === name)) ?? [])
    return curves.length === 0 ? [] : [{ workload, curves }]
  })
  if (panels.length === 0) return undefined
  const names = targets.map(({ name }) => name).filter((name) => panels.some(({ curves }) => curves.some(({ target }) => target === name)))
  const legend = names.map((name, index) => `  <path class="line ${styleOf(name)}" d="M${14 + index * legendColumn} 46h22"/><text class="soft" x="${42 + index * legendColumn}" y="50">${name}</text>`)
  return renderPicture({
    width: Math.max(panel.gap * panels.length + 20, 28 + legendColumn * names.length),
    height: pageHeight,
    title: 'Latency of an echo, by relay',
    description: `Made by npm run bench. ${options.runs} runs of ${options.durationMs / 1_000} s; of each relay the one whose p50 is the median. ${panels.map(({ workload, curves }) => `${connectionsOf(workload)}: ${curves.map(spoken).join(', ')}.`).join(' ')}`,
    colours: relayColours,
    heading: 'Latency of an echo, µs',
    body: [...legend, ...panels.map(({ workload, curves }, index) => renderPanel(panel.left + index * panel.gap, workload, curves))].join('\n'),
  })
}

function renderPanel(left: number, workload: Workload, curves: readonly Curve[]): string {
  const bottom = panel.top + panel.height
  const all = curves.flatMap(({ latencyUs }) => latencyUs)
  const [least, most] = [tickBelow(Math.min(...all)), tickAbove(Math.max(...all))]
  const x = (share: number): string => (left + nines(share) / nines(latencyShares.at(-1) ?? 0) * panel.width).toFixed(1)
  const y = (us: number): string => (bottom - Math.log(us / least) / Math.log(most / least) * panel.height).toFixed(1)
  return [
    `  <text class="strong" x="${left}" y="${panel.top - 14}">${connectionsOf(workload)}</text>`,
    ...ticksBetween(least, most).map((us) => `  <path class="grid" d="M${left} ${y(us)}h${panel.width}"/><text class="soft" x="${left - 8}" y="${Number(y(us)) + 4}" text-anchor="end">${us.toLocaleString('en')}</text>`),
    ...shownShares.map((share) => `  <path class="grid" d="M${x(share)} ${panel.top}v${panel.height}"/><text class="soft" x="${x(share)}" y="${bottom + 18}" text-anchor="middle">${share === 0 ? 'min' : `p${share * 100}`}</text>`),
    ...curves.map(({ target, latencyUs }) => `  <path class="line ${styleOf(target)}" d="M${latencyUs.map((us, index) => `${x(latencyShares[index] ?? 0)} ${y(us)}`).join('L')}"/>`),
  ].join('\n')
}

function medianRun(measurements: readonly Measurement[]): Curve | undefined {
  const runs = measurements.filter((each): each is Curve => each.latencyUs !== undefined && each.failure === undefined)
  return runs.toSorted((a, b) => (a.metrics.p50Us ?? 0) - (b.metrics.p50Us ?? 0))[Math.floor((runs.length - 1) / 2)]
}

/** 0 for all, 1 for all but a tenth, 2 for all but a hundredth. */
function nines(share: number): number {
  return -Math.log10(1 - share)
}

function ticksBetween(least: number, most: number): readonly number[] {
  const found: number[] = []
  for (let us = least; us <= most; us = tickAbove(us)) found.push(us)
  return found
}

/** @returns the greatest tick that is not over it */
function tickBelow(us: number): number {
  const decade = 10 ** Math.floor(Math.log10(us))
  return decade * (ticks.findLast((tick) => tick * decade <= us) ?? 1)
}

/** @returns the least tick over it */
function tickAbove(us: number): number {
  const decade = 10 ** Math.floor(Math.log10(us))
  return decade * (ticks.find((tick) => tick * decade > us) ?? 10)
}

/** A curve's middle and end, for those who do not see it. */
function spoken({ target, metrics: { p50Us = 0, p99Us = 0 } }: Curve): string {
  return `${target} p50 ${Math.round(p50Us)} µs and p99 ${Math.round(p99Us)} µs`
}

function connectionsOf({ spec: { connections } }: Workload): string {
  return `${connections.toLocaleString('en')} connection${connections === 1 ? '' : 's'}`
}
