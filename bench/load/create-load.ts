// From the description of a load to the load.

import { BulkLoad } from './bulk-load.ts'
import { ConnectLoad } from './connect-load.ts'
import { EchoLoad } from './echo-load.ts'
import type { Load, LoadParts, LoadSpec } from './load.ts'
import { PacedLoad } from './paced-load.ts'

/** It has the loop to itself until it has finished. */
export function createLoad({ spec, target, loop }: LoadParts<LoadSpec>): Load {
  switch (spec.kind) {
    case 'echo':
    case 'idle':
      return new EchoLoad({ spec, target, loop })
    case 'paced':
      return new PacedLoad({ spec, target, loop })
    case 'connect':
      return new ConnectLoad({ spec, target, loop })
    case 'download':
    case 'upload':
      return new BulkLoad({ spec, target, loop })
    default: {
      const never: never = spec
      throw new Error(`bug: no load ${JSON.stringify(never)}`)
    }
  }
}
