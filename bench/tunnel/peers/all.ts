// The tunnels that the bench knows, in the report's order.

import { chisel, chiselProgram } from './chisel.ts'
import { frp, frpPrograms } from './frp.ts'
import type { GoProgram } from './go-program.ts'
import { konnectivity, konnectivityPrograms } from './konnectivity.ts'
import { sluicePeer } from './sluice.ts'
import type { TunnelPeer } from './tunnel-peer.ts'

export const allTunnelPeers: readonly TunnelPeer[] = [
  sluicePeer({ name: 'sluice', settings: '`relay: { workers: 1 }`, every other setting at its default' }),
  sluicePeer({ name: 'sluice-direct', settings: 'the same, and `lane: direct` at the agent', forward: ['lane: direct'] }),
  konnectivity,
  chisel,
  frp,
]

/** Those that have to be built. */
export const goPrograms: readonly GoProgram[] = [...konnectivityPrograms, chiselProgram, ...frpPrograms]
