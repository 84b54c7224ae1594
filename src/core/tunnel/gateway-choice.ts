// Which gateways an agent holds sessions with: the first of its order that are enough.
//
// The order is each node's own (rendezvous hashing), so that nodes which want few of many gateways spread evenly over them,
// and a gateway that goes takes only its own nodes along. One that fails is tried on and holds no seat: the next one in the
// order is taken beside it until it is back.

import { stableHash } from '../stable-hash.ts'

export type GatewayCondition =
  /** Not tried yet, or its first try is under way. */
  | 'new'
  | 'up'
  | 'failing'

export interface GatewayChoiceOptions {
  /** What the gateways say that there are; empty while they have said nothing. */
  readonly told: readonly string[]
  /** What the configuration says, to begin with, and while none of `told` is to be had. */
  readonly configured: readonly string[]
  /** Sessions to hold; Infinity: with all. */
  readonly sessions: number
  readonly node: string
  readonly condition: (gateway: string) => GatewayCondition
}

/** @returns those to hold a session with, or to try to, each once */
export function chooseGateways({ told, configured, sessions, node, condition }: GatewayChoiceOptions): ReadonlySet<string> {
  const first = firstEnough(inOrderOf(node, told.length > 0 ? told : configured), sessions, condition)
  const isWithoutHope = first.every((gateway) => condition(gateway) === 'failing')
  return new Set(isWithoutHope ? [...first, ...firstEnough(inOrderOf(node, configured), sessions, condition)] : first)
}

/** Highest hash of node and gateway together first. */
function inOrderOf(node: string, gateways: readonly string[]): readonly string[] {
  return [...new Set(gateways)]
    .map((gateway) => ({ gateway, weight: stableHash(`${node}\n${gateway}`) }))
    .toSorted((one, other) => other.weight - one.weight || (one.gateway < other.gateway ? -1 : 1))
    .map(({ gateway }) => gateway)
}

function firstEnough(order: readonly string[], sessions: number, condition: (gateway: string) => GatewayCondition): readonly string[] {
  let seats = 0
  const end = order.findIndex((gateway) => {
    const now = condition(gateway)
    if (now === 'new' || now === 'up') seats += 1
    return seats >= sessions
  })
  return end === -1 ? order : order.slice(0, end + 1)
}
