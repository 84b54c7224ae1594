// The relays that the bench knows, in the report's order.

import { haproxy, haproxyBusy } from './haproxy.ts'
import { nginx } from './nginx.ts'
import type { Peer } from './peer.ts'
import { sluice, sluiceBusy, sluiceLane, sluiceLaneAlways } from './sluice.ts'
import { sniproxy } from './sniproxy.ts'
import { traefik } from './traefik.ts'

export const allPeers: readonly Peer[] = [sluice, sluiceLane, sluiceLaneAlways, sluiceBusy, haproxy, haproxyBusy, nginx, sniproxy, traefik]
