// Faults between clients and API servers, one after the other, in a network of hosts (lab.ts). What holds for each: no client waits longer than the
// documented bound (docs/failures.md, whose rows these are), whichever gateway it comes by; and whoever is not answered is told why, by a TLS
// alert where nothing was relayed yet, and by the reason in the gateway's log.

import { test } from '../support/linux-only.ts'
import { once } from 'node:events'
import { setTimeout as delay } from 'node:timers/promises'
import type { Test } from 'tap'
import { cannotMakeHosts } from '../compliance/vanished-host.ts'
import { until } from '../support/sockets.ts'
import { buildClientHello } from '../core/tls/hello-builder.ts'
import type { Fault } from './api-servers-process.ts'
import { callAll, callEach, callPlace, downAtAll, placeWatch, watchOn, type WatchBy } from './calls.ts'
import type { Client } from './client.ts'
import { answered, cut, refused, within } from './expect.ts'
import { health, nodePortOf, serverNameOf, startLab, tenantsCount, timeouts, vanishedClientBoundMs, type Lab } from './lab.ts'

/** A tenant for each fault of single ports; the first has processes of its own. */
const [stopped, resetting, refusing, mute, full, watched, rebooted] = [0, 1, 2, 3, 4, 5, 6]

const tests: readonly (readonly [name: string, run: (t: Test, lab: Lab) => Promise<void>])[] = [
  ['each tenant is reached by each gateway, on any node', reached],
  ['an API server that resets connections, or is gone, costs nobody more than a moment', async (t, lab) => {
    await onePort(t, lab, { tenant: resetting, fault: 'reset', reason: /^reset-before-answer$/ })
    await onePort(t, lab, { tenant: refusing, fault: 'closed', reason: /^dial-refused$/ })
  }],
  ['API servers that are killed: their connections are reset at once, and new ones go elsewhere', killedApiServers],
  ['an API server that accepts and never answers is left for another one', async (t, lab) => {
    await onePort(t, lab, { tenant: mute, fault: 'mute', reason: /^answer-timeout$/ })
  }],
  ['an API server whose backlog is full is left for another one', fullBacklog],
  ['a stopped API server is left for another one, and goes on with what it had when it is continued', stoppedApiServer],
  ['a node all of whose API servers are stopped costs no tenant more than the bound', stoppedNode],
  ['a node that vanishes: its connections end in time, and new ones go elsewhere', vanishedNode],
  ['all nodes gone: each client is told why', allNodesGone],
  ['a node that has rebooted answers old connections with RST, which their clients get', rebootedNode],
  ['a client whose path is away for a while loses nothing; one that vanishes is noticed, and its API server told', vanishedClients],
  ['a client that says nothing, or half a hello, is not waited for', silentClient],
  ['a gateway that is killed: its connections end at once, and clients find another one at the same place', killedGateway],
  ['a gateway that is stopped, or whose host vanishes: once the place is led elsewhere, connections end with their next byte', lostGateway],
]

/** Why it can not be built here. */
const skip = cannotMakeHosts() ?? false

void test('faults between clients and API servers', { skip }, async (t) => {
  const lab = await startLab()
  t.teardown(async () => {
    if (!t.passing()) process.stderr.write(`${await lab.logTails()}\n`)
    await lab.stop()
  })
  for (const [name, run] of tests) {
    await t.test(name, async (subtest) => await run(subtest, lab))
    // What a fault has left behind is another test's.
    await downAtAll(lab, (down) => down === 0)
  }
})

async function reached(t: Test, lab: Lab): Promise<void> {
  const calls = await callAll(lab)
  answered(t, calls, 'all tenants')
  t.same(new Set(calls.map(({ body }) => Number(body.replace(/^node[1-4]:/, '')))), new Set(Array.from({ length: tenantsCount }, (_, tenant) => nodePortOf(tenant))))
  const servers = new Set((await callEach(lab, 0)).map(({ body }) => body))
  t.equal(servers.size, lab.nodes.length, 'on all of them')
}

interface PortFault {
  readonly tenant: number
  readonly fault: Fault
  readonly reason: RegExp
}

/** On one node, and then on all. */
async function onePort(t: Test, lab: Lab, { tenant, fault, reason }: PortFault): Promise<void> {
  const port = nodePortOf(tenant)
  const [first] = lab.nodes
  await first?.set(port, fault)
  answered(t, await callEach(lab, tenant), `${fault} on one node`)
  await Promise.all(lab.nodes.map(async (node) => await node.set(port, fault)))
  await refused(t, await callEach(lab, tenant), reason)
  await Promise.all(lab.nodes.map(async (node) => await node.set(port, 'none')))
}

async function killedApiServers(t: Test, lab: Lab): Promise<void> {
  const [node] = lab.nodes
  const watches = await Promise.all(lab.gateways.map(async (gateway) => ({ gateway, watch: await watchOn(lab, { gateway, tenant: watched, node: 0, path: '/ticks' }) })))
  const startMs = performance.now()
  await node?.kill()
  for (const { gateway, watch } of watches) {
    within(t, (await watch.ended).atMs - startMs, 0, `by ${gateway.relay}`)
    t.match(await gateway.lineOf(watch.client), { endpoint: `${node?.host.address}:${nodePortOf(watched)}`, reason: /^(upstream-reset|completed)$/ })
  }
  answered(t, await callAll(lab), 'new connections')
  await node?.startProcesses()
}

async function fullBacklog(t: Test, lab: Lab): Promise<void> {
  const port = nodePortOf(full)
  const [first, ...others] = lab.nodes
  await first?.fillBacklog(port)
  answered(t, await callEach(lab, full), 'a full backlog on one node')
  for (const node of others) await node.fillBacklog(port)
  await refused(t, await callEach(lab, full), /^dial-timeout$/)
  await Promise.all(lab.nodes.map(async (node) => await node.set(port, 'none')))
}

async function stoppedApiServer(t: Test, lab: Lab): Promise<void> {
  const [first] = lab.nodes
  const watch = await watchOn(lab, { tenant: stopped, node: 0, path: '/ticks' })
  first?.signal('SIGSTOP', 'first')
  answered(t, await callEach(lab, stopped), 'stopped on one node')
  await downAtAll(lab, (down) => down === 1)
  for (const node of lab.nodes) node.signal('SIGSTOP', 'first')
  await refused(t, await callEach(lab, stopped), /^answer-timeout$/)
  for (const node of lab.nodes) node.signal('SIGCONT', 'first')
  const seen = watch.lines.length
  await until(() => watch.lines.length > seen)
  t.pass('a connection that it had goes on')
  watch.close()
}

async function stoppedNode(t: Test, lab: Lab): Promise<void> {
  const [first] = lab.nodes
  first?.signal('SIGSTOP', 'all')
  answered(t, await callAll(lab), 'of all tenants')
  await downAtAll(lab, (down) => down > 0)
  answered(t, await callAll(lab), 'of all tenants, once it is down for some')
  first?.signal('SIGCONT', 'all')
}

async function vanishedNode(t: Test, lab: Lab): Promise<void> {
  const silent = await Promise.all(lab.gateways.map(async (gateway) => ({ gateway, watch: await watchOn(lab, { gateway, tenant: watched, node: 1, path: '/watch' }) })))
  const busy = await Promise.all(lab.gateways.map(async (gateway) => ({ gateway, watch: await watchOn(lab, { gateway, tenant: watched, node: 1, path: '/ticks' }) })))
  const startMs = performance.now()
  lab.nodes[1]?.host.vanish()
  for (const { watch } of busy) watch.say()
  answered(t, (await Promise.all([watched, stopped, mute].map(async (tenant) => await callEach(lab, tenant)))).flat(), 'new connections')
  await downAtAll(lab, (down) => down === tenantsCount)
  within(t, performance.now() - startMs, health.fall * health.intervalMs, 'down with all its NodePorts, at each gateway')
  const calls = await callAll(lab)
  answered(t, calls, 'of all tenants')
  const attempts = await Promise.all(calls.map(async ({ gateway, client }) => (await gateway.lineOf(client)).attempts))
  t.same(new Set(attempts), new Set([1]), 'at the first attempt')
  for (const each of [...silent, ...busy]) {
    await cut(t, each, { sinceMs: startMs, reason: 'upstream-unresponsive' })
  }
  lab.nodes[1]?.host.comeBack()
}

async function allNodesGone(t: Test, lab: Lab): Promise<void> {
  for (const { host } of lab.nodes) host.vanish()
  await refused(t, await callEach(lab, watched), /^(dial-timeout|dial-unreachable)$/)
  for (const { host } of lab.nodes) host.comeBack()
}

async function rebootedNode(t: Test, lab: Lab): Promise<void> {
  const [node] = lab.nodes
  const watches = await Promise.all(lab.gateways.map(async (gateway) => ({ gateway, watch: await watchOn(lab, { gateway, tenant: rebooted, node: 0, path: '/watch' }) })))
  const startMs = performance.now()
  node?.host.vanish()
  await node?.kill()
  node?.host.reboot()
  await node?.startProcesses()
  for (const each of watches) await cut(t, each, { sinceMs: startMs, reason: 'upstream-reset' })
}

/** Longer than an API server's host may be away. */
const awayMs = 20_000

async function vanishedClients(t: Test, lab: Lab): Promise<void> {
  const [away, gone] = lab.segment.clients
  const watches = async (client: Client, path: string): Promise<readonly WatchBy[]> => await Promise.all(lab.gateways.map(async (gateway) =>
    ({ gateway, watch: await client.watch({ to: gateway.at, serverName: serverNameOf(watched), path }) })))
  const [kept, busy, lost] = await Promise.all([watches(lab.kubectl, '/watch'), watches(lab.kubectl, '/ticks'), watches(lab.laptop, '/watch')])
  const endings: unknown[] = []
  for (const { gateway, watch } of [...kept, ...busy]) void watch.ended.then(({ how }) => endings.push([gateway.relay, how]))
  const startMs = performance.now()
  for (const client of [away, gone]) client?.vanish()
  await delay(awayMs)
  away?.comeBack()
  const linesAway = busy.map(({ watch }) => watch.lines.length)
  for (const { gateway, watch } of lost) {
    t.match(await gateway.lineOf(watch.client), { outcome: 'aborted', reason: 'downstream-unresponsive' })
    within(t, performance.now() - startMs, vanishedClientBoundMs, `by ${gateway.relay}`)
    watch.close()
  }
  t.same(endings, [], 'of those that are back nobody was given up')
  t.ok(busy.every(({ watch }, index) => watch.lines.length > (linesAway[index] ?? 0)), 'and what they were told meanwhile has come')
  for (const { watch } of [...kept, ...busy]) watch.close()
  gone?.comeBack()
}

async function silentClient(t: Test, lab: Lab): Promise<void> {
  const hello = buildClientHello({ serverName: serverNameOf(0) })
  await Promise.all(lab.gateways.flatMap((gateway) => [hello.subarray(0, 0), hello.subarray(0, hello.length - 1)].map(async (words) => {
    const socket = lab.kubectl.dial(gateway.at)
    const client = `${socket.localAddress}:${socket.localPort}`
    const startMs = performance.now()
    socket.write(words)
    await once(socket.resume(), 'end')
    within(t, performance.now() - startMs, timeouts.helloMs, `by ${gateway.relay}, after ${words.length} bytes`)
    socket.destroy()
    t.match(await gateway.lineOf(client), { outcome: 'refused', reason: 'hello-timeout' })
  })))
}

async function killedGateway(t: Test, lab: Lab): Promise<void> {
  const [first, ...others] = lab.gateways
  if (first === undefined) throw new Error('unreachable')
  const [watch, ...live] = await Promise.all(lab.gateways.map(async (gateway) => await watchOn(lab, { gateway, tenant: watched, node: 0, path: '/ticks' })))
  await first.kill()
  t.match((await watch?.ended)?.how, /^(ECONNRESET|closed)$/, 'who was there is told at once')
  const atPlace = await callPlace(lab, watched)
  t.ok(atPlace.some(({ status }) => status === 200), 'others of the place answer')
  t.same(new Set(atPlace.filter(({ status }) => status === undefined).map(({ error }) => error)), new Set(['Client network socket disconnected before secure TLS connection was established']), 'and who comes by the dead one is refused, and may come again at once')
  lab.segment.announce(others.map(({ host }) => host))
  answered(t, await callPlace(lab, watched), 'the place without it')
  for (const each of live) {
    const seen = each.lines.length
    await until(() => each.lines.length > seen)
    each.close()
  }
  await first.start()
  lab.segment.announce(lab.segment.gateways)
}

async function lostGateway(t: Test, lab: Lab): Promise<void> {
  for (const loss of ['stopped', 'vanished'] as const) {
    const { gateway, watch } = await placeWatch(lab, watched)
    if (loss === 'stopped') {
      gateway.signal('SIGSTOP')
      t.notOk(await gateway.ready(), 'whoever looks after the place finds it not ready')
    } else {
      gateway.host.vanish()
    }
    lab.segment.announce(lab.segment.gateways.filter((host) => host !== gateway.host))
    answered(t, await callPlace(lab, watched), `the place without the one that is ${loss}`)
    watch.say()
    t.equal((await watch.ended).how, 'ECONNRESET', 'another gateway does not know the connection')
    if (loss === 'stopped') gateway.signal('SIGCONT')
    else gateway.host.comeBack()
    lab.segment.announce(lab.segment.gateways)
  }
}
