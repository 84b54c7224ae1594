// `sluice gateway` as a process: signals and exit codes.

import { spawn } from 'node:child_process'
import { symlinkSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { test, type Test } from 'tap'
import { buildClientHello } from '../core/tls/hello-builder.ts'
import { freePort } from '../../bench/free-port.ts'
import { fileWith } from '../support/command.ts'
import { mainFile, sluice, started, type Process } from '../support/sluice-process.ts'
import { dial, readBytes, readToEnd, startEcho, until } from '../support/sockets.ts'

const hello = buildClientHello({ serverName: 'acme.example.test' })

async function running(t: Test, { drainGrace }: { readonly drainGrace: string }): Promise<Process & { readonly port: number }> {
  const echo = await startEcho(t)
  const port = await freePort()
  const file = fileWith(t, `listeners: [{ address: 127.0.0.1:${port} }]
defaults: { timeouts: { drainGrace: ${drainGrace} } }
tenants: [{ name: acme, hostnames: [acme.example.test], apiServer: { endpoints: [127.0.0.1:${echo.port}] } }]
admin: { address: 127.0.0.1:0 }
`)
  const process_ = sluice(t, ['gateway', '--config', file])
  await until(() => process_.output().includes('"msg":"ready"'))
  return { ...process_, port }
}

void test('SIGTERM drains: the last connection’s end is the process’s, with exit code 0', async (t) => {
  const { child, port, exitCode, output } = await running(t, { drainGrace: '0s' })
  const client = await dial(t, port, hello)
  await readBytes(client, hello.length)
  child.kill('SIGTERM')
  await until(() => output().includes('listeners closed'))
  client.write('still')
  t.equal((await readBytes(client, 5)).toString(), 'still')
  client.end()
  t.equal(await exitCode, 0)
  t.match(output().trimEnd().split('\n').at(-1), /"msg":"drained"/, 'the last line is there')
})

void test('a second SIGTERM ends everything at once, with exit code 1', async (t) => {
  const { child, port, exitCode, output } = await running(t, { drainGrace: '10m' })
  const client = await dial(t, port, hello)
  await readBytes(client, hello.length)
  const ending = readToEnd(client)
  child.kill('SIGTERM')
  await until(() => output().includes('"msg":"draining"'))
  child.kill('SIGTERM')
  t.equal(await exitCode, 1)
  t.match(await ending, { how: 'ECONNRESET' })
})

// The Linux driver is not handed clients that send nothing, and has test/relay/linux/out-of-descriptors.test.ts.
void test('clients over the connection limit, all at once, take no descriptor that others need: each is told why', { skip: process.platform !== 'linux' }, async (t) => {
  const port = await freePort()
  const file = fileWith(t, `listeners: [{ address: 127.0.0.1:${port} }]
relay: { driver: node }
defaults: { timeouts: { hello: 10s }, limits: { helloConnections: 4000 } }
admin: { address: 127.0.0.1:0 }
`)
  const { output } = started(t, spawn('sh', ['-c', 'ulimit -n 300 && exec "$0" "$@"', process.execPath, mainFile, 'gateway', '--config', file], { env: {}, stdio: ['ignore', 'pipe', 'pipe'] }))
  await until(() => output().includes('"msg":"ready"'))
  const { connectionsMax }: { connectionsMax: number } = JSON.parse(output().trimEnd().split('\n').at(-1) ?? '')
  t.equal(connectionsMax, 22)
  const clients = await Promise.all(Array.from({ length: 400 }, async () => await dial(t, port)))
  const endings = await Promise.all(clients.map(async (client) => await readToEnd(client)))
  // The others, which send nothing, end with the hello's deadline.
  t.equal(endings.filter(({ bytes }) => bytes.length > 0).length, 400 - connectionsMax)
  t.notMatch(output(), /EMFILE/)
})

void test('SIGHUP reloads', async (t) => {
  const { child, output } = await running(t, { drainGrace: '0s' })
  child.kill('SIGHUP')
  await until(() => output().includes('"msg":"reloaded"'))
  t.match(output(), /"why":"SIGHUP","version":2/)
})

void test('what is wrong before it runs is exit code 2 or 1, with a reason', async (t) => {
  const echo = await startEcho(t)
  const taken = fileWith(t, `listeners: [{ address: 127.0.0.1:${echo.port} }]\nadmin: { address: 127.0.0.1:0 }\n`)
  const loop = join(dirname(taken), 'loop.yaml')
  symlinkSync('loop.yaml', loop)
  for (const { args, env, code, reason } of [
    { args: ['gateway'], code: 2, reason: /--config FILE is needed/ },
    { args: ['gateway', '--confg', 'x'], code: 2, reason: /Unknown option '--confg'/ },
    { args: ['gateway', '--config', '/nonexistent.yaml'], code: 2, reason: /nonexistent\.yaml: can't be read: ENOENT/ },
    { args: ['gateway', '--config', loop], code: 2, reason: /loop\.yaml: can't be read: ELOOP/ },
    { args: ['gateway', '--config', taken], env: { SLUICE_LOG_LEVEL: 'loud' }, code: 2, reason: /SLUICE_LOG_LEVEL.*"loud".*trace, debug, info/ },
    { args: ['gateway', '--config', taken], code: 1, reason: /listener 127\.0\.0\.1:\d+ can't be bound: .*EADDRINUSE/ },
    { args: ['gatway'], code: 2, reason: /no command "gatway"/ },
    { args: [], code: 2, reason: /Usage: sluice COMMAND/ },
    { args: ['--help'], code: 0, reason: /Start here: sluice demo/ },
    { args: ['--version'], code: 0, reason: /^sluice \d+\.\d+\.\d+\n$/ },
    { args: ['help', 'gateway'], code: 0, reason: /SIGHUP +reload/ },
    { args: ['check', '--help'], code: 0, reason: /Usage: sluice check FILE/ },
    { args: ['explain', '--help'], code: 0, reason: /Usage: sluice explain/ },
  ]) {
    const { exitCode, output } = sluice(t, args, env)
    t.equal(await exitCode, code, args.join(' '))
    t.match(output(), reason)
  }
})
