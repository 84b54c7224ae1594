// The edge with what it is for: real kubectl, real kube-apiservers, and the gateway as a process between them.
//
//   kubectl ── SNI acme.k8s.example.test ──▶ gateway 127.0.0.1:port ──▶ kube-apiserver of acme 127.0.0.1:port
//
// No two tenants share an authority: an answer that verifies came from the API server whose name was asked for. The tests
// run in this order and on one gateway, which the last one drains. A driver's test file calls `edgeSuite` and nothing else.

import { test, type Test } from 'tap'
import { labBinaries } from './binaries.ts'
import { type Edge, startEdge } from './edge.ts'
import { apiServerFailure, drain, liveRouteRemoved, operatorDrain, reloads } from './edge-lifecycle.ts'
import { certificates, getAndApply, manyAtOnce, proxy, unknownName, wholeAnswers, wrongTenant } from './edge-routing.ts'
import { throughTheTunnel } from './edge-tunnel.ts'
import type { Driver } from './gateway-process.ts'

const tests: readonly (readonly [name: string, run: (t: Test, edge: Edge) => Promise<void>])[] = [
  ['get and apply, on either side, reach the tenant of the name', getAndApply],
  ['a client certificate authenticates to the API server behind the gateway', certificates],
  ["a tenant's name leads to that tenant's API server only", wrongTenant],
  ['many requests for three tenants at once each get their own answer', manyAtOnce],
  ['an answer of megabytes arrives as it is', wholeAnswers],
  ['an unknown name gives kubectl a TLS alert that says so', unknownName],
  ['kubectl proxy reads, writes and streams through the gateway', proxy],
  ['a watch survives twenty reloads on one connection and misses nothing', reloads],
  ['a route that a reload removes stays for its live watch, and for nobody else', liveRouteRemoved],
  ['an API server that is killed takes no other tenant with it, and comes back', apiServerFailure],
  ['kubectl on a node reaches its API server through agent and gateway', throughTheTunnel],
  ['a drain of a tenant ends its watches, whose kubectl can come again, and no other tenant’s', operatorDrain],
  ['a drain lets a running watch go on, and ends with exit code 0', drain],
]

export function edgeSuite(driver: Driver): void {
  const skip = driver === 'linux' && process.platform !== 'linux' && `it does not run on ${process.platform}`
  void test(`${driver} driver: the edge in front of real API servers`, { skip }, async t => {
    const binaries = await labBinaries(line => process.stderr.write(`${line}\n`))
    const edge = await startEdge(binaries, driver)
    t.teardown(async () => {
      if (!t.passing()) process.stderr.write(`${await edge.logTails()}\n`)
      await edge.stop()
    })
    for (const [name, run] of tests) await t.test(name, async subtest => await run(subtest, edge))
  })
}
