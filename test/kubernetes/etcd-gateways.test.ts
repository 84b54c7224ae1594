// Two gateways whose store is etcd, with three members, TLS and a user of its own, while members fail and a gateway stands still:
//
//   CONNECT worker-1:port ─▶ gateway 1 ══▶ agent worker-1 ─▶ an echo server
//   CONNECT worker-2:port ─▶ gateway 1 ─▶ gateway 2 ══▶ agent worker-2          and so on: each agent by each gateway
//
// worker-1 knows gateway 1 alone, worker-2 gateway 2 alone, worker-3 both. The echoes run all the time, and must not notice.

import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { connect, createServer, type Socket } from 'node:net'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { test, t as root, type Test } from 'tap'
import { tunnelConfig, tunnelHostname } from '../../src/cli/demo/tunnel.ts'
import { freePort } from '../../bench/free-port.ts'
import { LabProcess } from '../support/lab-process.ts'
import { until } from '../support/sockets.ts'
import { EtcdCluster } from './etcd-cluster.ts'
import { createToken, startAgent } from './tunnel-agent.ts'
import { TunnelGateway } from './tunnel-gateway.ts'

const mainFile = fileURLToPath(new URL('../../src/sluice.js', import.meta.url))
const prefix = '/sluice/lab'
const answerMsMax = 20_000
const eventuallyMsMax = 60_000
const echoIntervalMs = 50
/** Longer than a gateway's lease. */
const awayMs = 12_000
const nodes = ['worker-1', 'worker-2', 'worker-3'] as const
type Node = typeof nodes[number] | 'worker-4' | 'leaver' | 'revoked' | `comer-${number}`

interface Lab {
  readonly gateways: readonly [TunnelGateway, TunnelGateway]
  readonly sockets: readonly [string, string]
  readonly echoPort: number
  readonly directory: string
  /** Not started. */
  gateway(name: string, prefix: string): Promise<TunnelGateway>
  agent(node: Node, knows: readonly TunnelGateway[], token?: string): Promise<LabProcess>
  stopAgent(node: Node): Promise<void>
}

const cluster = await EtcdCluster.start(root)
const lab = await startLab(root)

async function startLab(t: Test): Promise<Lab> {
  const { directory } = cluster
  const echo = createServer((socket) => void socket.on('error', () => undefined).pipe(socket))
  echo.listen(0, '127.0.0.1')
  await once(echo, 'listening')
  t.teardown(() => void echo.close())
  const bound = echo.address()
  if (bound === null || typeof bound === 'string') throw new Error('no port')
  const tunnel = (await tunnelConfig(directory)).replace(/\nstate:.*\n/, '\n')
  const { endpoints, caFile, user } = cluster.options(prefix)
  const stateIn = (where: string): string => `state: { kind: etcd, endpoints: [${endpoints.map((each) => `https://${each}`).join(', ')}], prefix: ${where}, caFile: ${caFile}, username: ${user?.name}, passwordFile: ${user?.passwordFile} }\n`
  const gateway = async (name: string, where: string): Promise<TunnelGateway> => {
    const port = await freePort()
    const made = await TunnelGateway.create({
      name, directory, listen: { address: '127.0.0.1', port },
      tenants: [{ server: { tenant: 'acme', hostname: 'acme.example.test', address: '127.0.0.1', port: bound.port }, egressSocket: socketOf(directory, name) }],
      tunnel: `${tunnel.replace('tunnel:\n', `tunnel:\n  threads: 2\n  peerAddress: 127.0.0.1:${port}\n`)}${stateIn(where)}`,
    })
    t.teardown(async () => await made.kill())
    return made
  }
  const gateways = [await gateway('gateway1', prefix), await gateway('gateway2', prefix)] as const
  for (const each of gateways) await each.start()
  let turns = 0
  const agents = new Map<Node, LabProcess>()
  return {
    gateways, directory, echoPort: bound.port, gateway,
    sockets: [socketOf(directory, 'gateway1'), socketOf(directory, 'gateway2')],
    agent: async (node, knows, token) => {
      return await startAgent({
        name: node, directory, ...(token === undefined ? {} : { token }), turn: ++turns, gateways: knows.map(({ listen }) => `wss://${tunnelHostname}:${listen.port}`), addresses: ['127.0.0.1'],
        listen: { address: '127.0.0.1', port: await freePort() },
        reverse: `reverse: { allow: [{ cidr: 127.0.0.1/32, ports: [${bound.port}] }] }\n`,
        run: (name, executable, arguments_) => {
          const process_ = new LabProcess({ name, executable, arguments_, directory })
          agents.set(node, process_)
          t.teardown(async () => await process_.stop())
          return process_
        },
      })
    },
    stopAgent: async (node) => await agents.get(node)?.stop(),
  }
}

function socketOf(directory: string, gateway: string): string {
  return join(directory, `${gateway}.sock`)
}

async function sluice(arguments_: readonly string[], input = ''): Promise<{ readonly code: number | null; readonly stdout: string; readonly stderr: string }> {
  const child = spawn(process.execPath, [mainFile, ...arguments_], { stdio: ['pipe', 'pipe', 'pipe'] })
  const said = { stdout: '', stderr: '' }
  for (const name of ['stdout', 'stderr'] as const) child[name].setEncoding('utf8').on('data', (text: string) => (said[name] += text))
  child.stdin.end(input)
  await once(child, 'close')
  return { code: child.exitCode, ...said }
}

/** @returns the answer's first line, and the connection behind it */
async function ask(socketPath: string, node: Node): Promise<{ readonly status: string; readonly socket: Socket }> {
  const socket = connect(socketPath)
  socket.on('error', () => undefined)
  socket.write(`CONNECT ${node}:${lab.echoPort} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n`)
  const [answer]: Buffer[] = await Promise.race([once(socket, 'data'), once(socket, 'close').then(() => [Buffer.from('closed')]), delay(answerMsMax, [Buffer.from(`no answer in ${answerMsMax} ms`)], { ref: false })])
  return { status: answer?.toString('latin1').split('\r\n')[0] ?? '', socket }
}

async function statusOf(socketPath: string, node: Node): Promise<string> {
  const { status, socket } = await ask(socketPath, node)
  socket.destroy()
  return status
}

async function eventually(holds: () => Promise<boolean>): Promise<void> {
  const deadlineMs = performance.now() + eventuallyMsMax
  while (!await holds()) {
    if (performance.now() > deadlineMs) throw new Error(`not within ${eventuallyMsMax} ms`)
    await delay(100)
  }
}

const connected = /^HTTP\/1\.1 200 /

interface Echo {
  readonly name: string
  /** Answered. */
  readonly turns: () => number
  readonly longestMs: () => number
  /** Undefined: it goes on. */
  readonly fault: () => string | undefined
  stop(): void
}

async function startEcho(by: 0 | 1, node: Node): Promise<Echo> {
  const { status, socket } = await ask(lab.sockets[by], node)
  const name = `${node} by gateway ${by + 1}`
  if (!connected.test(status)) throw new Error(`${name}: ${status}`)
  let [turns, longestMs, sentMs, isStopped] = [0, 0, 0, false]
  let fault: string | undefined
  const send = (): void => {
    sentMs = performance.now()
    socket.write(`${turns}\n`)
  }
  socket.on('data', (bytes) => {
    if (bytes.toString() !== `${turns}\n`) fault ??= `${bytes.toString()} in place of ${turns}`
    longestMs = Math.max(longestMs, performance.now() - sentMs)
    turns += 1
    setTimeout(send, echoIntervalMs)
  })
  socket.on('close', () => {
    if (!isStopped) fault ??= 'closed'
  })
  send()
  return {
    name, turns: () => turns, longestMs: () => longestMs, fault: () => fault,
    stop: () => {
      isStopped = true
      socket.destroy()
    },
  }
}

/** Runs while something happens: no echo may end, and all go on afterwards. */
async function undisturbed(t: Test, echoes: readonly Echo[], happens: () => Promise<void>): Promise<void> {
  await happens()
  const before = echoes.map(({ turns }) => turns())
  await until(() => echoes.every(({ turns, fault }, index) => fault() !== undefined || turns() > (before[index] ?? 0) + 3))
  t.same(echoes.flatMap(({ name, fault }) => fault() === undefined ? [] : `${name}: ${fault()}`), [], 'every echo goes on')
  t.comment(`longest echo: ${Math.round(Math.max(...echoes.map(({ longestMs }) => longestMs())))} ms`)
}

async function allReachable(): Promise<boolean> {
  for (const socket of lab.sockets) for (const node of nodes) if (!connected.test(await statusOf(socket, node))) return false
  return true
}

const echoes: Echo[] = []
root.teardown(() => {
  for (const echo of echoes) echo.stop()
})

void test('each agent is reached by each gateway', async (t) => {
  const [one, two] = lab.gateways
  const token = await createToken(one.configFile, { tenant: 'acme', uses: 3 })
  await lab.agent('worker-1', [one], token)
  await lab.agent('worker-2', [two], token)
  await lab.agent('worker-3', [one, two], token)
  await eventually(async () => await allReachable())
  for (const by of [0, 1] as const) for (const node of nodes) echoes.push(await startEcho(by, node))
  t.equal(echoes.length, 6)
})

void test('members are killed one after another: nothing is noticed, and what is new goes on', async (t) => {
  await undisturbed(t, echoes, async () => {
    for (const index of [0, 1, 2]) {
      await cluster.killMember(index)
      t.ok(await allReachable(), `without member ${index}`)
      cluster.startMember(index)
      await cluster.ready()
    }
  })
})

void test('all members are killed, for longer than a lease: agents that are known are let in, and all are reached', async (t) => {
  const [one, two] = lab.gateways
  const token = await createToken(one.configFile, { tenant: 'acme' })
  const other = await lab.agent('worker-4', [one], token)
  await eventually(async () => connected.test(await statusOf(lab.sockets[1], 'worker-4')))
  await undisturbed(t, echoes, async () => {
    await Promise.all([0, 1, 2].map(async (index) => await cluster.killMember(index)))
    await delay(awayMs)
    t.ok(await allReachable(), 'all are reached by all')
    await other.stop()
    await lab.agent('worker-4', [two])
    t.match(await statusOf(lab.sockets[1], 'worker-4'), connected, 'a known node comes back with its key, and is reached')
    for (const index of [0, 1, 2]) cluster.startMember(index)
    await cluster.ready()
  })
  await eventually(async () => connected.test(await statusOf(lab.sockets[0], 'worker-4')))
  t.ok(await allReachable(), 'also when etcd is back')
  t.equal(await one.metric('sluice_tunnel_sessions') + await two.metric('sluice_tunnel_sessions'), 5, 'no agent was lost')
})

void test('compaction: nothing is noticed', async (t) => {
  await undisturbed(t, echoes, async () => {
    for (let round = 0; round < 3; round++) {
      const { header }: { header?: { revision?: string } } = await cluster.asRoot('/v3/kv/put', { key: Buffer.from('/of-the-test').toString('base64') })
      await cluster.asRoot('/v3/kv/compaction', { revision: header?.revision, physical: true })
      t.ok(await allReachable())
    }
  })
})

void test('a gateway that stands still for longer than its lease: the others ask it no more; when it goes on, so does all', async (t) => {
  const [one] = lab.gateways
  await undisturbed(t, echoes.filter(({ name }) => name === 'worker-2 by gateway 2' || name === 'worker-3 by gateway 2'), async () => {
    one.signal('SIGSTOP')
    t.match(await statusOf(lab.sockets[1], 'worker-3'), connected, 'an agent with another session is reached at once')
    const fromMs = performance.now()
    await eventually(async () => /^HTTP\/1\.1 503 .*no agent|none of the/.test(await statusOf(lab.sockets[1], 'worker-1')))
    t.comment(`gone after ${Math.round(performance.now() - fromMs)} ms`)
    one.signal('SIGCONT')
  })
  await eventually(async () => await allReachable())
  t.pass('all are reached by all again')
})

void test('what is exported while agents come and go, a gateway with an empty etcd takes: it accepts the same agents, and not the revoked one', async (t) => {
  const [one] = lab.gateways
  const token = await createToken(one.configFile, { tenant: 'acme', uses: 20 })
  const [leaver, revoked] = [await lab.agent('leaver', [one], token), await lab.agent('revoked', [one], token)]
  const comings = (async (): Promise<void> => {
    for (let each = 0; each < 3; each++) await (await lab.agent(`comer-${each}`, [one], token)).stop()
  })()
  const nodesThere = JSON.parse((await sluice(['node', 'list', '--config', one.configFile, '--output', 'json'])).stdout) as readonly { readonly key: string; readonly name: string }[]
  const its = nodesThere.find(({ name }) => name === 'revoked')
  t.match(await sluice(['node', 'revoke', '--config', one.configFile, its?.key ?? '']), { code: 0 })
  const exported = await sluice(['state', 'export', '--config', one.configFile])
  t.match(exported, { code: 0 })
  await Promise.all([comings, leaver.stop(), revoked.stop()])

  const restored = await lab.gateway('restored', '/sluice/restored')
  t.match(await sluice(['state', 'import', '--config', restored.configFile], exported.stdout), { code: 0 })
  await restored.start()
  await lab.agent('leaver', [restored])
  t.pass('a node that was enrolled has its session, with its key alone')
  const refused = lab.agent('revoked', [restored])
  await eventually(async () => await restored.metric('sluice_tunnel_sessions_refused_total') > 0)
  t.match(await restored.logTail(), '"reason":"node-revoked"')
  await lab.stopAgent('revoked')
  await t.rejects(refused)
})

void test('a gateway with a prefix or a password that is not its own does not start, and says why', async (t) => {
  const port = await freePort()
  const start = async (name: string, change: (state: string) => string): Promise<string> => {
    const { endpoints, caFile, user } = cluster.options(prefix)
    const gateway = await TunnelGateway.create({
      name, directory: lab.directory, listen: { address: '127.0.0.1', port }, tenants: [{ server: { tenant: 'acme', hostname: 'acme.example.test', address: '127.0.0.1', port: 1 } }],
      tunnel: `${(await tunnelConfig(lab.directory)).replace(/\nstate:.*\n/, '\n')}${change(`state: { kind: etcd, endpoints: [${endpoints.map((each) => `https://${each}`).join(', ')}], prefix: ${prefix}, caFile: ${caFile}, username: ${user?.name}, passwordFile: ${user?.passwordFile} }\n`)}`,
    })
    return await gateway.start().then(async () => {
      await gateway.kill()
      return 'it runs'
    }, String)
  }
  t.match(await start('wrong-prefix', (state) => state.replace(`prefix: ${prefix}`, 'prefix: /another')), /\/another.*permission/s)
  t.match(await start('wrong-password', (state) => state.replace('/password', '/wrong-password')), /password|authentication/)
})
