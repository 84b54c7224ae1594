// How late this process's event loop has been: on a busy machine a client can miss what it was given a second for.

const tickMs = 50
/** Less is nothing worth remembering. */
const lateMsMin = 200
const rememberedMax = 1_000

const late: { readonly atMs: number; readonly byMs: number }[] = []
let lastTickMs = Date.now()

function tick(): void {
  const atMs = Date.now()
  const byMs = atMs - lastTickMs - tickMs
  lastTickMs = atMs
  if (byMs < lateMsMin) return
  late.push({ atMs, byMs })
  if (late.length > rememberedMax) late.shift()
}

setInterval(tick, tickMs).unref()

/** The most since then, what is only being noticed included. */
export function loopLatenessMs(sinceMs: number): number {
  return Math.max(0, Date.now() - lastTickMs - tickMs, ...late.filter(({ atMs }) => atMs >= sinceMs).map(({ byMs }) => byMs))
}
