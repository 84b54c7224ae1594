// Whether what the generator and the backend have counted fits together: a relay that loses, doubles or misdirects bytes
// is not measured, it is wrong. Pure.

import type { BackendCounters } from './load/backend-protocol.ts'
import type { LoadSpec } from './load/load.ts'

export interface GeneratorCounts {
  readonly opened: number
  readonly sentBytes: number
  readonly receivedBytes: number
}

type BackendCounts = Pick<BackendCounters, 'connections' | 'sentBytes' | 'receivedBytes'>

/** @returns what does not fit */
export function mismatchOf(kind: LoadSpec['kind'], generator: GeneratorCounts, backend: BackendCounts): string | undefined {
  // Bulk connections are cut while bytes are under way; the others end when every answer is there.
  const exact = kind !== 'download' && kind !== 'upload'
  if (generator.opened !== backend.connections) return `${generator.opened} connections were opened, ${backend.connections} reached the backend`
  return difference('sent', generator.sentBytes, 'reached the backend', backend.receivedBytes, exact)
    ?? difference('sent by the backend', backend.sentBytes, 'came back', generator.receivedBytes, exact)
}

function difference(sentAs: string, sent: number, receivedAs: string, received: number, exact: boolean): string | undefined {
  if (received === sent || (!exact && received < sent)) return undefined
  return `${sent} bytes were ${sentAs}, ${received} ${receivedAs}`
}
