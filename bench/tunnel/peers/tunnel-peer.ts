// What the bench knows of a tunnel that it measures. It has two ends, a process each: the client end dials the server end, and
// holds one connection to it; streams begin at one of them (the entry) and lead to one address behind the other.
//
//   generator ─▶ entry: Sluice's agent, chisel's client     ══ link, perhaps slow ══▶   gateway, server ─▶ backend
//   generator ─▶ entry: Konnectivity's server, frp's server ◀═ link, perhaps slow ══    agent, frpc     ─▶ backend

import type { Launch } from '../../peers/peer.ts'

export interface TunnelFacts {
  /** A folder for each end: its files and its output. */
  readonly serverDirectory: string
  readonly clientDirectory: string
  /** Where streams lead; all other ports are on 127.0.0.1. */
  readonly upstreamAddress: string
  readonly upstreamPort: number
  /** For the entry. */
  readonly entryPort: number
  /** For the server end, which the client end dials. */
  readonly linkPort: number
  /** What the client end dials: `linkPort`, or a relay in front of it. */
  readonly dialPort: number
  /** Free for whoever needs more; five of them. */
  readonly otherPorts: readonly number[]
  /** For `localhost`, in PEM. */
  readonly certificate: { readonly caPem: string, readonly certificatePem: string, readonly keyPem: string }
}

export interface TunnelLaunch {
  readonly server: Launch
  /** When the server is ready: what the client end needs of it. */
  readonly client: () => Promise<Launch>
  /** Path of the Unix socket that takes HTTP CONNECTs, where the entry is one; else it is `entryPort`. */
  readonly connectProxy?: string
}

export interface TunnelInstallation {
  readonly version: string
  launch(facts: TunnelFacts): TunnelLaunch
}

export interface TunnelPeer {
  readonly name: string
  /** What it is and which settings matter, for the report's reader. */
  readonly settings: string
  /** @returns why not, when it can't be run here */
  find(): TunnelInstallation | string
}
