// From the description of a load to the load.

import { BulkLoad } from './bulk-load.ts'
import { ConnectLoad } from './connect-load.ts'
import { EchoLoad } from './echo-load.ts'
import type { Load, LoadSpec, LoadTarget } from './load.ts'
import { PacedLoad } from './paced-load.ts'

export function createLoad(spec: LoadSpec, target: LoadTarget): Load {
  switch (spec.kind) {
    case 'echo':
    case 'idle':
      return new EchoLoad(spec, target)
    case 'paced':
      return new PacedLoad(spec, target)
    case 'connect':
      return new ConnectLoad(spec, target)
    case 'download':
    case 'upload':
      return new BulkLoad(spec, target)
    default: {
      const never: never = spec
      throw new Error(`bug: no load ${JSON.stringify(never)}`)
    }
  }
}
