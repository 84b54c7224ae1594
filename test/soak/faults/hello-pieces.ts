// The bytes that a client begins with, cut as its plan says.

import { backendPlanOf, type Plan } from './plan.ts'
import { Random } from './random.ts'
import { serverNameOf } from './topology.ts'
import { helloWith } from './wire.ts'

export function helloPieces(plan: Plan): Buffer[] {
  switch (plan.kind) {
    case 'exchange':
    case 'leaving-dial': return cut(helloWith(serverNameOf(plan.tenant), plan.hello, backendPlanOf(plan)), plan.hello.cuts)
    case 'unknown-name': return cut(helloWith(serverNameOf(`nobody${plan.id}`), plan.hello), plan.hello.cuts)
    case 'garbage': return cut(garbage(plan.seed), plan.hello.cuts)
    case 'slow-hello': {
      const hello = helloWith(serverNameOf(plan.tenant), plan.hello)
      return Array.from({ length: hello.byteLength - 1 }, (_, index) => hello.subarray(index, index + 1))
    }
    case 'leaving-hello': {
      const hello = helloWith(serverNameOf(plan.tenant), plan.hello)
      return cut(hello.subarray(0, Math.floor(plan.part * hello.byteLength)), plan.hello.cuts)
    }
    default: return plan satisfies never
  }
}

function cut(bytes: Buffer, cuts: readonly number[]): Buffer[] {
  const ends = [...cuts.map((part) => Math.floor(part * bytes.byteLength)), bytes.byteLength]
  return ends.map((end, index) => bytes.subarray(ends[index - 1] ?? 0, end)).filter(({ byteLength }) => byteLength > 0)
}

/** Anything but the first byte of a TLS record: the rest could be a hello that is never whole. */
function garbage(seed: number): Buffer {
  const random = new Random(seed)
  const bytes = Buffer.from(Array.from({ length: random.size(1, 2_000) }, () => random.integer(0, 255)))
  if (bytes[0] === 0x16) bytes[0] = 0x47
  return bytes
}
