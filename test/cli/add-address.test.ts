// An agent that puts its address on the node, in a network namespace of its own.

import { execFileSync, spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { test, type Test } from 'tap'
import { cannotMakeHosts } from '../compliance/vanished-host.ts'
import { mainFile, started, type Process } from '../support/sluice-process.ts'
import { until } from '../support/sockets.ts'

const skip = cannotMakeHosts() ?? false

interface Namespace {
  readonly ip: (...args: string[]) => string
  readonly exec: (...command: string[]) => ChildProcess
  /** @param before a command that runs it */
  readonly agent: (before?: readonly string[]) => Process
}

let namespaces = 0

function namespace(t: Test, forward: string): Namespace {
  const name = `sluice-${process.pid}-${++namespaces}`
  const folder = t.testdir({ 'agent.yaml': `gateways: [wss://localhost:1]\nstate: { directory: state }\nforward: ${forward}\n` })
  const ip = (...args: string[]): string => execFileSync('ip', ['-n', name, ...args], { encoding: 'utf8' })
  execFileSync('ip', ['netns', 'add', name])
  t.teardown(() => execFileSync('ip', ['netns', 'delete', name]))
  ip('link', 'set', 'lo', 'up')
  const inside = (command: readonly string[]): readonly [string, string[]] => ['ip', ['netns', 'exec', name, ...command]]
  return {
    ip,
    exec: (...command) => spawn(...inside(command), { stdio: 'ignore' }),
    agent: (before = []) => started(t, spawn(...inside([...before, process.execPath, mainFile, 'agent', '--config', join(folder, 'agent.yaml')]), { env: { PATH: process.env['PATH'] ?? '' }, stdio: ['ignore', 'pipe', 'pipe'] })),
  }
}

async function isReached({ exec }: Namespace, address: string): Promise<boolean> {
  const [code]: (number | null)[] = await once(exec('bash', '-c', `exec 3<>/dev/tcp/${address}/6443`), 'exit')
  return code === 0
}

void test('the address is there while the agent runs, IPv4 and IPv6, and gone after SIGTERM', { skip }, async (t) => {
  const place = namespace(t, '[{ listen: 172.30.0.1:6443, addAddress: true }, { listen: "[fd00::30:1]:6443", addAddress: true }, { listen: 172.30.0.1:6444, addAddress: true }]')
  const agent = place.agent()
  await until(() => agent.output().includes('agent started'))
  t.match(place.ip('address', 'show', 'lo'), /inet 172\.30\.0\.1\/32 scope host lo\n[^]*inet6 fd00::30:1\/128 scope global nodad/)
  for (const address of ['172.30.0.1', 'fd00::30:1']) t.ok(await isReached(place, address), address)
  t.equal(agent.output().split('address added').length - 1, 2)
  agent.child.kill('SIGTERM')
  t.equal(await agent.exitCode, 0)
  t.notMatch(place.ip('address', 'show', 'lo'), /172\.30|fd00/)
})

void test('an address that is there already stays, whoever has put it there', { skip }, async (t) => {
  const place = namespace(t, '[{ listen: 172.30.0.1:6443, addAddress: true }]')
  const killed = place.agent()
  await until(() => killed.output().includes('agent started'))
  killed.child.kill('SIGKILL')
  await killed.exitCode
  t.match(place.ip('address', 'show', 'lo'), /172\.30\.0\.1\/32/)
  const next = place.agent()
  await until(() => next.output().includes('agent started'))
  t.match(next.output(), /address was there already/)
  next.child.kill('SIGTERM')
  t.equal(await next.exitCode, 0)
  t.match(place.ip('address', 'show', 'lo'), /172\.30\.0\.1\/32/)
  const other = namespace(t, '[{ listen: 172.30.0.1:6443, addAddress: true }]')
  other.ip('link', 'add', 'node0', 'type', 'veth', 'peer', 'name', 'node1')
  other.ip('address', 'add', '172.30.0.1/32', 'dev', 'node0')
  for (const device of ['node0', 'node1']) other.ip('link', 'set', device, 'up')
  const agent = other.agent()
  await until(() => agent.output().includes('agent started'))
  t.notMatch(other.ip('address', 'show', 'lo'), /172\.30/)
})

void test('an agent that may not, or can not start otherwise, says what to do and leaves nothing', { skip }, async (t) => {
  const place = namespace(t, '[{ listen: 172.30.0.1:6443, addAddress: true }]')
  const powerless = place.agent(['setpriv', '--inh-caps=-net_admin', '--bounding-set=-net_admin'])
  t.equal(await powerless.exitCode, 1)
  t.match(powerless.output(), /172\.30\.0\.1 can't be added to the device lo: EPERM: that needs the capability CAP_NET_ADMIN; or add it yourself \(ip address add/)
  const twice = namespace(t, '[{ listen: 172.30.0.1:6443, addAddress: true }, { listen: 172.30.0.1:6443 }]')
  const agent = twice.agent()
  t.equal(await agent.exitCode, 1)
  t.match(agent.output(), /EADDRINUSE/)
  t.notMatch(twice.ip('address', 'show', 'lo'), /172\.30/)
})
