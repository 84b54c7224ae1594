import { execFile, spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { access, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { test, type Test } from 'tap'
import { parse } from 'yaml'
import { demo } from '../../src/cli/demo.ts'
import { DemoError } from '../../src/cli/demo/demo-error.ts'
import {
  assertPortsFree, demoConfig, demoPorts, loopback, portCount, withAddedHostname, withMisspeltKey,
} from '../../src/cli/demo/layout.ts'

const mainFile = fileURLToPath(new URL('../../src/sluice.js', import.meta.url))
const rootFolder = fileURLToPath(new URL('../..', import.meta.url))
const execute = promisify(execFile)

void test('demo shows every step as it should be, prints curl lines that work anywhere, and leaves nothing behind', async t => {
  const ended = await startDemo(t, ['--once'])
  const stays = await startDemo(t, ['--tunnel'])

  await stays.printed(/^Ctrl-C ends it/)
  await tryCurlLines(t, stays.lines.filter(line => line.startsWith('curl ')))
  await stays.printed(/^up .* each by the right tenant/)
  stays.child.kill('SIGINT')

  for (const [how, { exitCode, lines, temporary }] of Object.entries({ '--once': ended, 'Ctrl-C': stays })) {
    t.equal(await exitCode, 0, how)
    assertStory(t, lines.join('\n'))
    t.same(await readdir(temporary), [], 'no file is left')
  }
  t.notMatch(ended.lines.join('\n'), 'curl ', 'what would not work any more is not printed')
})

function assertStory(t: Test, output: string): void {
  t.equal(output.match(/^✗.*/gm), null, 'no step came out otherwise')
  for (const tenant of ['acme', 'globex', 'initech']) {
    t.match(output, new RegExp(`^✓ https://${tenant}\\.k8s\\.example\\.test/version +200 +${tenant} CA `, 'm'), `${tenant} answered for ${tenant}`)
  }
  for (const [what, expected] of [
    ['the failover', /globex CA .*completed, 127\.0\.0\.1:\d+, attempt 2/],
    ['a client certificate where it is not known', /globex +401 +globex CA/],
    ['an unknown name', /unknown\.k8s.*unrecognized_name \(112\).*unknown-server-name/],
    ['no name', /naming nobody.*unrecognized_name \(112\).*no-server-name/],
    ['a source that is not allowed', /hooli.*access_denied \(49\).*source-not-allowed/],
    ['a client without TLS', /plain HTTP.*closed, no answer.*hello-not-tls/],
    ['the added hostname', /staging\.initech.*200 +initech CA/],
    ['the mistake, with the key that was meant', /says sluice\.yaml:\d+:.*allowedSource.*allowedSources/],
    ['the watch', /same connection, \d+ events meanwhile, none missing/],
    ['the drain', /drained, exit code 0/],
  ] as const) t.match(output, expected, what)
}

async function tryCurlLines(t: Test, curls: readonly string[]): Promise<void> {
  t.equal(curls.length, 7, 'three tenants, an unknown name, the node’s way, the snapshot and the metrics')
  if (!await has('curl')) {
    t.comment('no curl on PATH: its lines are not tried')
    return
  }
  for (const line of curls) {
    const refused = line.includes('unknown.k8s.example.test')
    const result = await execute('bash', ['-c', line], { cwd: '/' }).then(
      ({ stdout }) => ({ answered: true, text: stdout }),
      (error: { stderr: string }) => ({ answered: false, text: error.stderr }),
    )
    t.equal(result.answered, !refused, line)
    if (refused) t.match(result.text, /unrecognized name/)
  }
}

void test('demo ends, says so and cleans up when its gateway has died', async t => {
  const { lines, printed, exitCode, stderr, temporary } = await startDemo(t, [])
  await printed(/^up .* each by the right tenant/)
  const [directory = ''] = await readdir(temporary)
  const log = await readFile(join(temporary, directory, 'gateway.log'), 'utf8')
  const { pid }: { pid: number } = JSON.parse(log.slice(0, log.indexOf('\n')))
  process.kill(pid, 'SIGKILL')
  t.equal(await exitCode, 1)
  t.match(stderr(), 'the gateway has ended by itself (SIGKILL)')
  t.match(lines.join('\n'), 'The gateway has ended: SIGKILL')
  t.same(await readdir(temporary), [])
})

void test('demo ends, and cleans up, when npm alone is told to', async t => {
  const running = await startDemo(t, [], ['npm', 'start', '--silent', '--update-notifier=false', '--logs-max=0', '--'])
  await running.printed(/^Ctrl-C ends it/)
  running.child.kill('SIGTERM')
  // Nobody holds its output any more: npm and the demo have both ended.
  await running.exitCode
  t.same((await readdir(running.temporary)).filter(name => name.startsWith('sluice-')), [])
})

void test('demo names the port that is in use, and what to do', async t => {
  const ports = demoPorts(await freePortRange())
  const taken = createServer().listen(ports.globex, loopback)
  await once(taken, 'listening')
  t.teardown(() => taken.close())
  const { code, stderr } = await runHere(['--ports', String(ports.gateway)])
  t.equal(code, 1)
  t.match(stderr, new RegExp(`127\\.0\\.0\\.1:${ports.globex} +\\(globex\\)`))
  t.notMatch(stderr, `:${ports.acme}`)
  t.match(stderr, '--ports')
})

void test('demo --kubernetes names the program that is not on PATH', async t => {
  const directory = await mkdtemp(join(tmpdir(), 'sluice-test-'))
  t.teardown(() => rm(directory, { recursive: true }))
  await writeFile(join(directory, 'etcd'), '', { mode: 0o700 })
  const { code, stderr } = await runHere(['--kubernetes'], { PATH: directory })
  t.equal(code, 1)
  t.match(stderr, 'needs kube-apiserver on PATH')
})

void test('demo refuses ports that are none', async t => {
  for (const ports of ['x', '0', '1023', '65531', '20000.5', '']) {
    const { code, stderr } = await runHere([`--ports=${ports}`])
    t.equal(code, 2, JSON.stringify(ports))
    t.match(stderr, 'from 1024 to 65529')
  }
})

void test('demoConfig moves every port and nothing else', async t => {
  const original: unknown = parse(await demoConfig(demoPorts()))
  const moved: unknown = parse(await demoConfig(demoPorts(20_000)))
  t.match(original, { listeners: [{ address: '127.0.0.1:6443' }], admin: { address: '127.0.0.1:9443' } })
  t.match(moved, {
    listeners: [{ address: '127.0.0.1:20000' }],
    tenants: [
      { name: 'acme', apiServer: { nodePort: 20_002 } },
      { name: 'globex', apiServer: { endpoints: ['127.0.0.1:20005', '127.0.0.1:20003'] } },
      { name: 'initech', apiServer: { nodePort: 20_004 } },
      { name: 'hooli', apiServer: { nodePort: 20_005 } },
    ],
    admin: { address: '127.0.0.1:20001' },
  })
})

void test('the demo\'s changes of its configuration change it', async t => {
  const config = await demoConfig(demoPorts())
  t.match(parse(withAddedHostname(config)), { tenants: [{}, {}, { hostnames: ['initech.k8s.example.test', 'staging.initech.k8s.example.test'] }] })
  t.match(parse(withMisspeltKey(config)), { tenants: [{}, {}, {}, { allowedSource: ['203.0.113.0/24'] }] })
  t.throws(() => withAddedHostname('listeners: []'), /bug/)
})

interface RunningDemo {
  readonly child: ChildProcess
  readonly lines: readonly string[]
  readonly exitCode: Promise<number | null>
  /** So far. */
  readonly stderr: () => string
  /** Where it makes its temporary files. */
  readonly temporary: string
  /** Resolves at the first line that matches, past or to come; rejects when it ends without one. */
  readonly printed: (pattern: RegExp) => Promise<void>
}

/** As from a terminal: another process, on ports of its own. */
async function startDemo(t: Test, args: readonly string[], [program, ...before]: readonly [string, ...string[]] = [process.execPath, mainFile, 'demo']): Promise<RunningDemo> {
  const temporary = await mkdtemp(join(tmpdir(), 'sluice-test-'))
  const child = spawn(program, [...before, '--ports', String(await freePortRange()), ...args], {
    cwd: rootFolder,
    env: { PATH: process.env['PATH'], TMPDIR: temporary },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  const exitCode = once(child, 'close').then(([code]: (number | null)[]) => code ?? null)
  t.teardown(async () => {
    child.kill('SIGINT')
    await exitCode
    await rm(temporary, { recursive: true, force: true })
  })
  let stderr = ''
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    stderr += text
  })
  const lines: string[] = []
  const waiting = new Set<() => void>()
  createInterface({ input: child.stdout }).on('line', line => {
    lines.push(line)
    for (const look of waiting) look()
  })
  const printed = async (pattern: RegExp): Promise<void> => await new Promise((resolve, reject) => {
    const look = (): void => {
      if (!lines.some(line => pattern.test(line))) return
      waiting.delete(look)
      resolve()
    }
    waiting.add(look)
    void exitCode.then(code => reject(new Error(`it ended (${code}) and printed no ${pattern}:\n${lines.join('\n')}\n${stderr}`)))
    look()
  })
  return { child, lines, exitCode, stderr: () => stderr, temporary, printed }
}

async function runHere(args: readonly string[], env: NodeJS.ProcessEnv = {}): Promise<{ code: number; stderr: string }> {
  let stderr = ''
  const code = await demo(args, {
    stdout: { write: () => true },
    stderr: {
      write: (text: string) => {
        stderr += text
        return true
      },
    },
    env,
  })
  return { code, stderr }
}

let nextPort = 20_000 + (process.pid % 1000) * portCount

/** Below the range from which the system hands out ports; each call another one. */
async function freePortRange(): Promise<number> {
  while (nextPort < 32_000) {
    const first = nextPort
    nextPort += portCount
    try {
      await assertPortsFree(demoPorts(first))
      return first
    } catch (error) {
      if (!(error instanceof DemoError)) throw error
    }
  }
  throw new Error('no free ports')
}

async function has(program: string): Promise<boolean> {
  const found = await Promise.all((process.env['PATH'] ?? '').split(':').map(directory =>
    access(join(directory, program)).then(() => true, () => false)))
  return found.includes(true)
}
