// What lives on while things change: watches across reloads, removed routes, a killed API server, and the gateway's end.

import type { Test } from 'tap'
import { adminRequest, type Edge, namespace, Ticker, watchTicker } from './edge.ts'
import { establishedPorts } from './established-ports.ts'
import type { RunningKubectl } from './kubectl.ts'

const reloadsTotal = 20

export async function reloads(t: Test, { gateway, kubectl, lab, routes }: Edge): Promise<void> {
  const server = lab.tenants.acme
  const ticker = new Ticker(server, 'reloads')
  await ticker.create(gateway.port)
  const watch = await watchTicker(kubectl.acme, 'reloads')
  try {
    const portsBefore = await portsOf(watch, gateway.port)
    const versionBefore = await gateway.snapshotVersion()

    await ticker.tickDuring(gateway.port, async () => {
      for (let reload = 1; reload <= reloadsTotal; reload += 1) {
        if (reload % 2 === 1) await gateway.reload()
        else await gateway.rewrite(reload % 4 === 0 ? 'renamed' : 'overwritten', { routes, idleTimeout: `${60 + reload}m` })
      }
    })
    const last = await ticker.tick(gateway.port)
    await watch.waitForLine(line => line === String(last), `count ${last}`)

    t.ok(await gateway.snapshotVersion() >= versionBefore + reloadsTotal, 'twenty snapshots were published')
    t.strictSame(watch.lines, Array.from({ length: last + 1 }, (_, count) => String(count)), 'every write was seen, once and in order')
    t.strictSame(await portsOf(watch, gateway.port), portsBefore, 'from the port that kubectl had before')
    t.strictSame(await server.watchStages('reloads'), ['ResponseStarted'], 'the API server knows of one watch, which still runs')
  } finally {
    await watch.stop()
  }
}

export async function liveRouteRemoved(t: Test, { gateway, kubectl, lab, routes }: Edge): Promise<void> {
  const server = lab.tenants.acme
  const ticker = new Ticker(server, 'removed-route')
  await ticker.create(gateway.port)
  const watch = await watchTicker(kubectl.acme, 'removed-route')
  try {
    const portsBefore = await portsOf(watch, gateway.port)
    await gateway.rewrite('renamed', { routes: routes.filter(({ tenant }) => tenant !== 'acme') })
    t.match((await kubectl.acme.try('get', 'namespaces')).stderr, /unrecognized name/, 'a new connection is refused')

    const last = await ticker.tick(server.port)
    await watch.waitForLine(line => line === String(last), `count ${last}`)
    t.strictSame(await portsOf(watch, gateway.port), portsBefore, 'the live one goes on')

    await gateway.rewrite('renamed', { routes })
    t.match(await kubectl.acme.run('get', 'namespaces'), namespace, 'the route is back')
  } finally {
    await watch.stop()
  }
}

export async function apiServerFailure(t: Test, { gateway, kubectl, lab }: Edge): Promise<void> {
  const { acme, globex, initech } = lab.tenants
  const ticker = new Ticker(globex, 'failure')
  await ticker.create(gateway.port)
  const watch = await watchTicker(kubectl.globex, 'failure')
  try {
    await ticker.tickDuring(gateway.port, async () => {
      await acme.kill()
      t.match((await kubectl.acme.try('get', 'namespaces')).stderr, /tls: internal error/, 'kubectl is told, not left waiting')
      t.match(await kubectl.initech.run('get', 'namespaces'), namespace, 'another tenant answers')
      await acme.start()
      t.match(await kubectl.acme.run('get', 'namespaces'), namespace, 'the tenant is back')
    })
    const last = await ticker.tick(gateway.port)
    await watch.waitForLine(line => line === String(last), `count ${last}`)
    t.strictSame(watch.lines, Array.from({ length: last + 1 }, (_, count) => String(count)), "another tenant's watch missed nothing")
    t.equal((await adminRequest(initech, { port: gateway.port, path: '/readyz' })).status, 200)
  } finally {
    await watch.stop()
  }
}

export async function operatorDrain(t: Test, { gateway, kubectl, lab }: Edge): Promise<void> {
  const [globexTicker, acmeTicker] = [new Ticker(lab.tenants.globex, 'moved'), new Ticker(lab.tenants.acme, 'stays')]
  await globexTicker.create(gateway.port)
  await acmeTicker.create(gateway.port)
  const [moved, stays] = [await watchTicker(kubectl.globex, 'moved'), await watchTicker(kubectl.acme, 'stays')]
  try {
    t.equal(await gateway.admin('POST', '/v1/tenants/globex/drain', { over: '1s' }), 202)
    await moved.exited
    t.same([moved.code, moved.stderr], [0, ''], 'to kubectl it is a watch that has ended')
    t.match(await kubectl.globex.run('get', 'namespaces'), namespace, 'whose connection was closed comes again')
    const last = await acmeTicker.tick(gateway.port)
    await stays.waitForLine(line => line === String(last), `count ${last}`)
  } finally {
    await moved.stop()
    await stays.stop()
  }
}

export async function drain(t: Test, { gateway, kubectl, lab }: Edge): Promise<void> {
  const server = lab.tenants.initech
  const ticker = new Ticker(server, 'drain')
  await ticker.create(gateway.port)
  const watch = await watchTicker(kubectl.initech, 'drain')
  try {
    const portsBefore = await portsOf(watch, gateway.port)
    await gateway.beginDrain()
    t.match(await kubectl.initech.run('get', 'namespaces'), namespace, 'not ready any more, it still accepts for a time')
    await gateway.listenerClosed()
    const last = await ticker.tick(server.port)
    await watch.waitForLine(line => line === String(last), `count ${last}`)
    t.strictSame(await portsOf(watch, gateway.port), portsBefore, 'the watch goes on after the listener has closed')
  } finally {
    await watch.stop()
  }
  t.strictSame(await gateway.waitForExit(), { code: 0, signal: null }, 'the last connection over, the gateway ends')
}

/** Empty where the system does not say: the API server's audit log speaks for the connection then. */
async function portsOf({ pid }: RunningKubectl, remotePort: number): Promise<number[]> {
  return process.platform === 'linux' ? await establishedPorts(pid, remotePort) : []
}
