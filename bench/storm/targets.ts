// What is measured: a direct connection, and relays as they are, or told to let in so many connections a second.

import { allPeers } from '../peers/all.ts'
import type { Installation, Peer, PeerLimits } from '../peers/peer.ts'
import { direct } from '../result.ts'
import type { Mode, StormOptions } from './options.ts'

export interface StormTarget {
  readonly name: string
  readonly settings: string
  readonly version: string
  /** Absent: direct. */
  readonly installation?: Installation
  readonly limits: PeerLimits
}

interface Variant {
  readonly name: string
  readonly peer: Peer
  readonly isPaced: boolean
  /** In attacks only. */
  readonly excess?: 'drop' | 'ban'
}

export interface ModeTargets {
  readonly mode: Mode
  /** Those that are installed, in the order of the tables. */
  readonly found: readonly StormTarget[]
  /** The others, and why. */
  readonly absent: readonly string[]
}

/** An address may open so many in a second: attackers open more. */
export const perSourcePerSecond = 20

const peers = allPeers.filter(({ name }) => ['sluice', 'haproxy', 'nginx', 'traefik'].includes(name))
const variants: readonly Variant[] = peers.flatMap((peer): Variant[] => {
  const plain = { name: peer.name, peer, isPaced: false }
  const paced = { name: `${peer.name}-rate`, peer, isPaced: true }
  switch (peer.name) {
    case 'sluice': return [plain, { ...plain, name: 'sluice-drop', excess: 'drop' }, { ...plain, name: 'sluice-ban', excess: 'ban' }, paced]
    case 'haproxy': return [plain, paced]
    default: return [plain]
  }
})

export const targetNames: readonly string[] = [direct, ...variants.map(({ name }) => name)]

export function findTargets(options: StormOptions, mode: Mode): ModeTargets {
  const absent: string[] = []
  const found = targetNames.flatMap((name): StormTarget[] => {
    if (!options.targets.includes(name)) return []
    if (name === direct) return [{ name, version: '–', settings: 'no relay', limits: {} }]
    const variant = variants.find((each) => each.name === name)
    if (variant === undefined || (variant.isPaced && mode === 'attack') || (variant.excess !== undefined && mode === 'storm')) return []
    const installation = variant.peer.find()
    if (typeof installation === 'string') {
      absent.push(`${name}: ${installation}`)
      return []
    }
    const limits = limitsOf(variant, options, mode)
    return [{ name, version: installation.version, settings: settingsOf(variant, limits), installation, limits }]
  })
  return { mode, found, absent }
}

function limitsOf({ isPaced, excess }: Variant, { connectionsPerSecond }: StormOptions, mode: Mode): PeerLimits {
  if (mode === 'attack') return excess === undefined ? { perSourcePerSecond } : { perSourcePerSecond, excess }
  return isPaced ? { connectionsPerSecond } : {}
}

function settingsOf({ peer: { name, settings } }: Variant, { connectionsPerSecond, perSourcePerSecond: perSource, excess }: PeerLimits): string {
  const paced = name === 'sluice' ? `\`processConnectionsPerSecond: ${connectionsPerSecond}\`` : `\`rate-limit sessions ${connectionsPerSecond}\``
  const guarded = name === 'sluice' ? `\`connectionsPerSourcePerSecond: ${perSource}${excess === undefined ? '' : `, connectionsPerSourceExcess: ${excess}`}\`` : name === 'haproxy' ? `\`tcp-request connection reject if { src_conn_rate gt ${perSource} }\`` : 'none for rates'
  return `${settings}${connectionsPerSecond === undefined ? '' : `; ${paced}`}${perSource === undefined ? '' : `; limits: ${guarded}`}`
}
