// A customer's node: `sluice agent` as a process, and kubectl that dials its address and so names nobody to the gateway.

import type { Test } from 'tap'
import { tunnelHostname } from '../../src/cli/demo/tunnel.ts'
import { freePort } from '../../bench/free-port.ts'
import { LabProcess } from '../support/lab-process.ts'
import { namespace, Ticker, watchTicker, type Edge } from './edge.ts'
import { createToken, startAgent } from './tunnel-agent.ts'

const answersAtOnce = 8

export async function throughTheTunnel(t: Test, { gateway, kubectlFor, lab, routes }: Edge): Promise<void> {
  const { acme, globex } = lab.tenants
  const { agent, port } = await startNode(gateway.configFile, { directory: lab.directory, gatewayPort: gateway.port })
  try {
    const node = await kubectlFor(acme, { port })
    t.match(await node.run('get', 'namespaces'), namespace, 'kubectl on the node reaches its API server')
    const direct = await kubectlFor(acme, { port: acme.port })
    const expected = await direct.run('get', '--raw=/openapi/v2')
    const answers = await Promise.all(Array.from({ length: answersAtOnce }, async () => await node.run('get', '--raw=/openapi/v2')))
    t.ok(answers.every(answer => answer === expected), `${answersAtOnce} answers of megabytes at once, and each is the same as without`)
    const stranger = await kubectlFor(globex, { port })
    t.match((await stranger.try('get', 'namespaces')).stderr, /certificate/, 'whatever name it asks for, it gets its own tenant')

    const ticker = new Ticker(acme, 'tunnel')
    await ticker.create(port)
    const watch = await watchTicker(node, 'tunnel')
    try {
      await ticker.tickDuring(port, async () => {
        for (let reload = 1; reload <= 3; reload += 1) await gateway.rewrite('renamed', { routes, idleTimeout: `${90 + reload}m` })
      })
      const last = await ticker.tick(port)
      await watch.waitForLine(line => line === String(last), `count ${last}`)
      t.strictSame(watch.lines, Array.from({ length: last + 1 }, (_, count) => String(count)), 'a watch over reloads sees every write, once and in order')
    } finally {
      await watch.stop()
    }
  } finally {
    await agent.stop()
  }
}

/** Joins with a token for acme. */
async function startNode(gatewayConfig: string, { directory, gatewayPort }: { readonly directory: string; readonly gatewayPort: number }): Promise<{ readonly agent: LabProcess; readonly port: number }> {
  const port = await freePort()
  const agent = await startAgent({
    name: 'node1',
    directory,
    gateways: [`wss://${tunnelHostname}:${gatewayPort}`],
    token: await createToken(gatewayConfig, { tenant: 'acme' }),
    listen: { address: '127.0.0.1', port },
    run: (name, executable, arguments_) => new LabProcess({ name, executable, arguments_, directory }),
  })
  return { agent, port }
}
