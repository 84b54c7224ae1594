// What the bench and the generator's threads say to each other. Every request is answered once, in order.

import type { LoadSpec, LoadTally, LoadTarget } from './load.ts'

export type GeneratorRequest =
  | { readonly step: 'prepare', readonly spec: LoadSpec, readonly target: LoadTarget }
  | { readonly step: 'start' | 'openWindow' | 'closeWindow' | 'finish' }

/** `finish` has a tally, the others nothing. */
export interface GeneratorReply {
  readonly tally?: LoadTally
}
