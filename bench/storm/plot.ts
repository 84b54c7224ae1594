// A storm as SVG: on the left the clients that are in over time, on the right the steady requests' p99 before it and in it. The first
// run, as it was. Pure.

import { relayColours, renderPicture, styleOf } from '../picture.ts'
import type { StormResult } from './report.ts'
import type { StormMeasurement } from './session.ts'

const page = { width: 960, height: 320 } as const
const panel = { width: 400, height: 200, top: 70, lefts: [58, 600] } as const
const barsWidth = 260
const tickCount = 4
/** Of the clients: the last of those who were refused again and again would make the rest narrow. */
const shownShare = 0.995
/** Points of a curve. */
const steps = 100

/** @returns SVG, a line a line */
export function renderStormPlot({ options, measurements }: StormResult): string {
  const shown = measurements.filter(({ workload, run, failure }) => workload === 'storm' && run === 1 && failure === undefined)
  const { clients, tenants, steady, requestsPerSecond } = options
  return renderPicture({
    ...page,
    title: `${count(clients)} clients reconnect at once`,
    description: `Made by npm run bench:storm. ${count(clients)} clients of ${tenants} tenants, beside ${count(requestsPerSecond)} requests a second over ${steady} connections. ${shown.map(spoken).join(' ')}`,
    colours: relayColours,
    heading: `${count(clients)} clients reconnect at once`,
    body: `${curves(shown, clients)}\n${bars(shown)}`,
  })
}

/** The curves' ends, for those who do not see them. */
function spoken({ target, metrics }: StormMeasurement): string {
  return `${target}: all in after ${seconds(metrics.allInMs)} s, p99 ${milliseconds(metrics.beforeP99Us)} ms before and ${milliseconds(metrics.p99Us)} ms in the storm.`
}

function curves(shown: readonly StormMeasurement[], clients: number): string {
  const [left, bottom] = [panel.lefts[0], panel.top + panel.height]
  const last = (at: readonly number[]): number => at[Math.ceil(at.length * shownShare) - 1] ?? 0
  const endMs = 1_000 * Math.max(1, Math.ceil(Math.max(0, ...shown.map(({ inAfterMs = [] }) => last(inAfterMs))) / 1_000))
  const x = (ms: number): string => (left + Math.min(1, ms / endMs) * panel.width).toFixed(1)
  const y = (share: number): string => (bottom - share * panel.height).toFixed(1)
  const ticks = Array.from({ length: tickCount + 1 }, (_, index) => index / tickCount)
  return [
    `  <text class="soft" x="${left}" y="${panel.top - 12}">clients that are in</text>`,
    ...ticks.map((share) => `  <path class="grid" d="M${left} ${y(share)}h${panel.width}"/><text class="soft" x="${left - 8}" y="${Number(y(share)) + 4}" text-anchor="end">${count(share * clients)}</text>`),
    ...ticks.map((share) => `  <text class="soft" x="${x(share * endMs)}" y="${bottom + 18}" text-anchor="middle">${(share * endMs / 1_000).toLocaleString('en', { maximumFractionDigits: 2 })}${share === 1 ? ' s' : ''}</text>`),
    ...shown.map(({ target, inAfterMs = [] }) => {
      const points = Array.from({ length: steps + 1 }, (_, step) => Math.round(step / steps * (inAfterMs.length - 1))).map((index) => `${x(inAfterMs[index] ?? 0)} ${y((index + 1) / clients)}`)
      return `  <path class="line ${styleOf(target)}" d="M${points.join('L')}"/>`
    }),
  ].join('\n')
}

function bars(shown: readonly StormMeasurement[]): string {
  const left = panel.lefts[1]
  const most = Math.max(1, ...shown.flatMap(({ metrics: { p99Us = 0, beforeP99Us = 0 } }) => [p99Us, beforeP99Us]))
  const height = Math.min(16, panel.height / (2 * shown.length + 1) - 2)
  const width = (us = 0): string => Math.max(1, us / most * barsWidth).toFixed(1)
  return [
    `  <text class="soft" x="${left}" y="${panel.top - 12}">p99 of steady requests: before, in the storm</text>`,
    ...shown.map(({ target, metrics: { p99Us, beforeP99Us } }, index) => {
      const top = panel.top + index * panel.height / Math.max(1, shown.length)
      const bar = (us: number | undefined, of: string, offset: number): string =>
        `  <rect class="bar ${of} ${styleOf(target)}" x="${left}" y="${(top + offset).toFixed(1)}" width="${width(us)}" height="${height.toFixed(1)}"/><text class="soft" x="${(left + Number(width(us)) + 6).toFixed(1)}" y="${(top + offset + height - 3).toFixed(1)}">${milliseconds(us)} ms</text>`
      return `  <text class="soft" x="${left - 8}" y="${(top + height + 4).toFixed(1)}" text-anchor="end">${target}</text>\n${bar(beforeP99Us, 'calm', 0)}\n${bar(p99Us, 'storm', height + 2)}`
    }),
  ].join('\n')
}

function count(value: number): string {
  return Math.round(value).toLocaleString('en')
}

function seconds(ms = 0): string {
  return (ms / 1_000).toFixed(1)
}

function milliseconds(us = 0): string {
  return (us / 1_000).toLocaleString('en', { maximumSignificantDigits: 2 })
}
