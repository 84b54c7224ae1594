// A running agent asked at its admin address, by whatever watches it and by `sluice agent status`.

import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'tap'
import { agentCommand } from '../../src/cli/agent.ts'
import type { AgentStatus } from '../../src/core/tunnel/agent-status.ts'
import { fileWith, run } from '../support/command.ts'
import { freePort } from '../../bench/free-port.ts'
import { sluice } from '../support/sluice-process.ts'
import { dial, readBytes, startBackend, until } from '../support/sockets.ts'
import { ca, tunnelLab } from '../tunnel/tunnel-lab.ts'

void test('an agent tells how it stands: without a session, with one, and after it was lost', async (t) => {
  const lab = await tunnelLab(t)
  const gateway = await lab.gateway()
  const [adminPort, agentPort] = [await freePort(), await freePort()]
  const beside = (name: string): string => join(lab.directory, name)
  const file = beside('agent.yaml')
  writeFileSync(file, `gateways: [${gateway.url.href}]
caFile: ca.crt
token: { file: join-token }
state: { directory: agent-state }
node: { name: worker-1 }
forward: [{ listen: 127.0.0.1:${agentPort} }]
admin: { address: 127.0.0.1:${adminPort} }
`)
  writeFileSync(beside('ca.crt'), ca.certificatePem)
  const agent = sluice(t, ['agent', '--config', file])
  const get = async (path: string): Promise<string> => await (await fetch(`http://127.0.0.1:${adminPort}${path}`)).text()
  const status = async (): Promise<AgentStatus> => JSON.parse(await get('/v1/status')) as AgentStatus
  await until(() => agent.output().includes('401 node-unknown'))
  t.equal(await get('/readyz'), 'no-session\n')
  t.equal(await get('/healthz'), 'ok\n')
  t.match(await get('/'), /\/readyz +200 while a session is up, 503 while none is\n[^]*\/v1\/status +sessions and listeners\n/)
  t.match(await status(), { node: 'worker-1', ready: false, gateways: [{ gateway: gateway.url.host, streams: 0, lastError: { why: '401 node-unknown' } }] })
  const waiting = await run(agentCommand, 'status', '--config', file)
  t.equal(waiting.code, 1)
  t.match(waiting.stdout, /^node worker-1, agent 0\.\d+\.\d+, up for \d+ s\nNo session is up\.\n[^]*401 node-unknown \(the node is not enrolled: put a join token/)
  t.match(await get('/metrics'), /sluice_agent_sessions_refused_total\{reason="node-unknown"\} [1-9]/)

  writeFileSync(beside('join-token'), await lab.token())
  await until(() => agent.output().includes('session is up'))
  t.equal(await get('/readyz'), 'ok\n')
  const client = await dial(t, agentPort, Buffer.from('hello'))
  t.equal((await readBytes(client, 5)).toString(), 'hello')
  t.match(await status(), { ready: true, gateways: [{ state: 'up', streams: 1 }], forwards: [{ address: `127.0.0.1:${agentPort}`, connections: 1, waiting: 0 }] })
  const up = await run(agentCommand, 'status', '--admin', `127.0.0.1:${adminPort}`)
  t.equal(up.code, 0)
  t.match(up.stdout, new RegExp(`GATEWAY +STATE +FOR +RTT +STREAMS\\nlocalhost:\\d+ +up +\\d+ s +[\\d.]+ ms +1\\n\\nLISTENS ON +CONNECTIONS +WAITING\\n127\\.0\\.0\\.1:${agentPort} +1 +0\\n`))
  const json = await run(agentCommand, 'status', '--admin', `127.0.0.1:${adminPort}`, '--json')
  t.match(JSON.parse(json.stdout), { ready: true })
  // The first pings tell how busy the machine is.
  while (!/sluice_agent_session_rtt_seconds\{.*\} 0\.0\d+\n/.test(await get('/metrics')));
  const metrics = await get('/metrics')
  for (const line of [
    'sluice_agent_sessions{state="up"} 1', 'sluice_agent_sessions{state="waiting"} 0', `sluice_agent_streams{gateway="${gateway.url.host}"} 1`, 'sluice_agent_sessions_started_total 1',
    'sluice_agent_bytes_total{to="upstream"} 5', 'sluice_agent_bytes_total{to="client"} 5', 'sluice_agent_connections_open 1', 'sluice_agent_connections_waiting 0',
    'sluice_agent_sessions_ended_total{reason="silent"} 0', 'sluice_agent_connect_failures_total{step="tcp"} 0', 'sluice_agent_connections_total{end="no-session",lane="mux"} 0',
  ]) t.ok(metrics.includes(`${line}\n`), line)
  t.match(metrics, /sluice_agent_session_rtt_seconds\{gateway="localhost:\d+"\} 0\.0\d+\n[^]*process_cpu_seconds_total|process_cpu_seconds_total[^]*sluice_agent_session_rtt_seconds/)

  const before = agent.output().length
  await gateway.close()
  await until(() => agent.output().includes('no session', before))
  await dial(t, agentPort, Buffer.from('wait'))
  while ((await status()).forwards[0]?.waiting !== 1);
  while (!/connect_failures_total\{step="tcp"\} [1-9]/.test(await get('/metrics')));
  t.match(await get('/metrics'), /sluice_agent_sessions_ended_total\{reason="closed"\} 1\n/)
  agent.child.kill('SIGTERM')
  t.equal(await agent.exitCode, 0)
  const gone = await run(agentCommand, 'status', '--config', file)
  t.equal(gone.code, 1)
  t.match(gone.stderr, /no answer from an agent at 127\.0\.0\.1:\d+: .*ECONNREFUSED.*; does it run, and with that admin\.address\?/)
})

void test('what agent status can not ask, or is no agent, is told', async (t) => {
  const answering = async (body: string): Promise<string> => {
    const { port } = await startBackend(t, (socket) => socket.once('data', () => socket.end(`HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n${body}`)))
    return `127.0.0.1:${port}`
  }
  const file = fileWith(t, 'gateways: [wss://localhost:1]\nforward: [{ listen: 127.0.0.1:0 }]\n')
  const cases: readonly (readonly [args: readonly string[], code: number, expected: RegExp])[] = [
    [['--config', file], 2, /has no admin\.address, where the agent could be asked: admin: \{ address: 127\.0\.0\.1:9444 \}/],
    [['--admin', 'localhost'], 2, /--config FILE or --admin ADDRESS:PORT/],
    [['--admin', '127.0.0.1:1', '--config', file], 2, /--config FILE or --admin ADDRESS:PORT/],
    [['--admin', await answering('hello')], 1, /what answers at 127\.0\.0\.1:\d+ is no agent/],
    [['--admin', await answering('{"version":3}')], 1, /is no agent/],
    [['--admin', await answering('x'.repeat(2_000_000))], 1, /an answer of over 1048576 bytes/],
  ]
  for (const [args, code, expected] of cases) {
    const outcome = await run(agentCommand, 'status', ...args)
    t.equal(outcome.code, code, args.join(' '))
    t.match(outcome.stderr, expected)
  }
})

void test('an admin address that is taken: the agent does not start, and says which', async (t) => {
  const { port } = await startBackend(t)
  const agent = sluice(t, ['agent', '--config', fileWith(t, `gateways: [wss://localhost:1]\nstate: { directory: state }\nforward: [{ listen: 127.0.0.1:0 }]\nadmin: { address: 127.0.0.1:${port} }\n`)])
  t.equal(await agent.exitCode, 1)
  t.match(agent.output(), /admin\.address: 127\.0\.0\.1:\d+ can't be bound: .*EADDRINUSE/)
})
