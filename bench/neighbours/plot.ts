// The readings of the first run over time as SVG: a row for each interval, entries on the left and broadcasts on the right. Not the
// medians over the runs: the system sweeps whenever it likes, and medians would fill its saw's teeth. Pure.

import { renderPicture } from '../picture.ts'
import { own } from '../result.ts'
import type { Reading } from './conclude.ts'
import type { NeighboursResult } from './report.ts'
import { targets, workloadOf } from './session.ts'

const page = { width: 960, head: 34, row: 274, foot: 6 } as const
const panel = { width: 400, height: 168, top: 58, lefts: [58, 534] } as const
const tickCount = 4
/** Of a label above the end of its line. */
const labelGap = 7
/** Of the panel's width. */
const labelShare = 0.4
/** Of an axis: a quarter of each is a round number. */
const axisSteps = [1, 1.2, 1.6, 2, 2.4, 3.2, 4, 6, 8, 10, 12] as const
/** Of an axis beyond the highest value. */
const headroom = 1.05

interface Point {
  readonly seconds: number
  readonly value: number
}

interface Line {
  readonly name: string
  readonly style: 'd' | 'g'
  readonly points: readonly Point[]
}

interface Panel {
  readonly title: string
  readonly left: number
  readonly top: number
  readonly seconds: number
  readonly lines: readonly Line[]
}

/** @returns SVG, a line a line */
export function renderPlot(result: NeighboursResult): string {
  const { options: { nodes, apiServers, intervalsMs, durationMs } } = result
  const panelOf = (row: number, intervalMs: number, column: 0 | 1): Panel => ({
    title: column === 0 ? 'neighbour entries of all hosts' : 'ARP broadcasts so far',
    left: panel.lefts[column], top: page.head + row * page.row + panel.top, seconds: durationMs / 1000,
    lines: linesOf(result, intervalMs, column === 0 ? ({ entries }) => entries : ({ broadcasts }) => broadcasts),
  })
  return renderPicture({
    width: page.width,
    height: page.head + page.row * intervalsMs.length + page.foot,
    title: 'ARP broadcasts and neighbour entries, directly and through the gateway',
    description: `Made by npm run bench:neighbours. ${nodes} nodes call ${apiServers} API servers on one segment; tables are empty at first. ${spoken(result)}`,
    colours: {
      light: `.d, .g { fill: none; stroke-width: 2.25; stroke-linejoin: round }
    .d { stroke: #cf222e } .g { stroke: #0969da }
    .td { fill: #cf222e } .tg { fill: #0969da }`,
      dark: `.d { stroke: #f85149 } .g { stroke: #4493f8 }
      .td { fill: #f85149 } .tg { fill: #4493f8 }`,
    },
    heading: `${nodes} nodes, ${apiServers} API servers, one segment`,
    body: intervalsMs.map((intervalMs, row) => `  <text class="strong" x="14" y="${page.head + row * page.row + 20}">each node calls each API server every ${intervalMs / 1000} s</text>
${draw(panelOf(row, intervalMs, 0))}
${draw(panelOf(row, intervalMs, 1))}`).join('\n'),
  })
}

/** The curves' ends, for those who do not see them. */
function spoken(result: NeighboursResult): string {
  return result.options.intervalsMs.map((intervalMs) => {
    const ends = [({ entries }: Reading) => entries, ({ broadcasts }: Reading) => broadcasts].map((of) => linesOf(result, intervalMs, of).map(({ points }) => count(points.at(-1)?.value ?? 0)))
    const [entries = [], broadcasts = []] = ends
    return `Calls every ${intervalMs / 1000} s: at the end ${entries.join(' entries and ')} through the gateway, after ${broadcasts.join(' broadcasts and ')}.`
  }).join(' ')
}

function linesOf({ measurements }: NeighboursResult, intervalMs: number, of: (reading: Reading) => number): readonly Line[] {
  return targets.map((target) => {
    const readings = measurements.find((each) => each.target === target && each.workload === workloadOf(intervalMs))?.readings ?? []
    const points = readings.map((reading): Point => ({ seconds: reading.atMs / 1000, value: of(reading) }))
    return target === own ? { name: 'through the gateway', style: 'g', points } : { name: 'direct', style: 'd', points }
  })
}

function draw({ title, left, top, seconds, lines }: Panel): string {
  const [maxValue, bottom] = [niceMax(Math.max(1, ...lines.flatMap(({ points }) => points.map(({ value }) => value)))), top + panel.height]
  const x = (at: number): string => (left + Math.min(1, at / seconds) * panel.width).toFixed(1)
  const y = (value: number): number => bottom - value / maxValue * panel.height
  const ticks = Array.from({ length: tickCount + 1 }, (_, index) => index / tickCount)
  return [
    `  <text class="soft" x="${left}" y="${top - 10}">${title}</text>`,
    ...ticks.map((share) => `  <path class="grid" d="M${left} ${y(share * maxValue)}h${panel.width}"/><text class="soft" x="${left - 8}" y="${y(share * maxValue) + 4}" text-anchor="end">${count(share * maxValue)}</text>`),
    ...ticks.map((share) => `  <text class="soft" x="${x(share * seconds)}" y="${bottom + 18}" text-anchor="middle">${(share * seconds).toLocaleString('en', { maximumFractionDigits: 1 })}${share === 1 ? ' s' : ''}</text>`),
    ...lines.map(({ style, points }) => `  <path class="${style}" d="M${points.map(({ seconds: at, value }) => `${x(at)} ${y(value).toFixed(1)}`).join('L')}"/>`),
    ...lines.map(({ name, style, points }) => {
      const value = points.at(-1)?.value ?? 0
      const highest = Math.max(value, ...points.filter((point) => point.seconds >= seconds * (1 - labelShare)).map((point) => point.value))
      return `  <text class="t${style}" x="${left + panel.width}" y="${(y(highest) - labelGap).toFixed(1)}" text-anchor="end" font-size="12">${name}, at the end: ${count(value)}</text>`
    }),
  ].join('\n')
}

function niceMax(value: number): number {
  const power = 10 ** Math.floor(Math.log10(value))
  return (axisSteps.find((step) => step * power >= value * headroom) ?? Number.NaN) * power
}

function count(value: number): string {
  return Math.round(value).toLocaleString('en')
}
