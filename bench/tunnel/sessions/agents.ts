// A process of many agents, without anything to forward: each has its own key, and holds its own session by the agent's own
// GatewayLink, backoff and all. The parent asks over IPC; when the parent is gone, so is this process.

import { generateKeyPairSync, sign } from 'node:crypto'
import { setTimeout as delay } from 'node:timers/promises'
import { WindowBudget } from '../../../src/core/mux/window.ts'
import { GatewayLink } from '../../../src/tunnel/agent/gateway-link.ts'
import type { NodeKey } from '../../../src/tunnel/agent/node-key.ts'
import type { AgentsReport, AgentsRequest, StartAgents } from './agents-protocol.ts'

const pollMs = 20

const links: GatewayLink[] = []
let attemptsMs: number[] = []
let upsMs: number[] = []
let refusals = new Map<string, number>()
let waits = new Map<string, number>()

async function start({ gateway, caPem, names, tokens, perSecond }: StartAgents): Promise<void> {
  const budget = new WindowBudget()
  const startMs = performance.now()
  for (const [index, node] of names.entries()) {
    while (index >= (performance.now() - startMs) / 1000 * perSecond) await delay(pollMs)
    const link = new GatewayLink({
      gateway: new URL(gateway), caPem, proxy: undefined, told: () => undefined, announced: { addresses: [], ranges: [], names: [] }, opened: () => undefined, node, credentials: { kind: 'key', key: createNodeKey(), token: () => tokens[index] }, budget,
      changed: ({ state }) => {
        const nowMs = performance.timeOrigin + performance.now()
        if (state.kind === 'connecting') attemptsMs.push(nowMs)
        if (state.kind === 'up') upsMs.push(nowMs)
        if (state.kind === 'waiting') count(waits, state.why)
      },
      refused: (_link, why) => count(refusals, why),
    })
    links.push(link)
    link.start()
  }
}

/** In memory: a file for each would measure the disk. */
function createNodeKey(): NodeKey {
  const { privateKey, publicKey } = generateKeyPairSync('ed25519')
  return { publicKey: Buffer.from(publicKey.export({ format: 'jwk' }).x ?? '', 'base64url'), sign: (bytes) => sign(null, bytes, privateKey) }
}

function report(): AgentsReport {
  const taken = { up: links.filter(({ state }) => state.kind === 'up').length, attemptsMs, upsMs, refusals: Object.fromEntries(refusals), waits: Object.fromEntries(waits) };
  [attemptsMs, upsMs, refusals, waits] = [[], [], new Map(), new Map()]
  return taken
}

function count(counts: Map<string, number>, what: string): void {
  counts.set(what, (counts.get(what) ?? 0) + 1)
}

process.on('message', (request: AgentsRequest) => {
  if (request.kind === 'start') void start(request)
  else process.send?.(report())
})
// Ctrl-C is for the parent, which then closes the channel.
process.on('SIGINT', () => undefined)
process.once('disconnect', () => process.exit(0))
