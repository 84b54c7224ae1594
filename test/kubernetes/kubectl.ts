// The real kubectl, told by a kubeconfig to connect to one loopback port and to use a tenant's name there:
// `tls-server-name` is what client-go sends as SNI and looks for in the certificate, so no DNS is needed.
//
// Each kubeconfig has a home and a cache of its own. kubectl keeps what it discovered by host and port, which all tenants
// behind one gateway have in common.

import { execFile, spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { setTimeout as delay } from 'node:timers/promises'
import type { IssuedCertificate } from '../../src/cli/demo/certificates.ts'
import { childEnvironment } from '../support/lab-process.ts'
import { kubeconfig } from './kubeconfig.ts'

const commandTimeoutMs = 120_000
const lineTimeoutMs = 60_000
const outputBytesMax = 16 * 1024 * 1024

export interface KubectlOptions {
  readonly executable: string
  /** Where a folder of its own is made. */
  readonly directory: string
  /** @default '127.0.0.1' */
  readonly address?: string
  readonly port: number
  readonly serverName: string
  readonly caPem: string
  readonly client: IssuedCertificate
}

export interface KubectlResult {
  /** Absent where a signal ended it. */
  readonly code: number | null
  readonly stdout: string
  readonly stderr: string
}

export class Kubectl {
  readonly #executable: string
  readonly #home: string

  private constructor(executable: string, home: string) {
    this.#executable = executable
    this.#home = home
  }

  static async create(options: KubectlOptions): Promise<Kubectl> {
    const home = await mkdtemp(join(options.directory, `kubectl-${options.serverName}-`))
    await writeFile(join(home, 'kubeconfig'), kubeconfig({ ...options, server: `https://${options.address ?? '127.0.0.1'}:${options.port}` }), { mode: 0o600 })
    return new Kubectl(options.executable, home)
  }

  /** @returns also when kubectl fails: its exit code and its words are what a test looks at */
  async try(...arguments_: readonly string[]): Promise<KubectlResult> {
    return await this.#execute(arguments_)
  }

  /** @throws with kubectl's stderr, when it fails */
  async run(...arguments_: readonly string[]): Promise<string> {
    return await this.apply(undefined, ...arguments_)
  }

  /** As `run`, with a manifest (any object) on stdin. */
  async apply(manifest: unknown, ...arguments_: readonly string[]): Promise<string> {
    const { code, stdout, stderr } = await this.#execute(arguments_, manifest)
    if (code !== 0) throw new Error(`kubectl ${arguments_.join(' ')} failed (${String(code)}): ${stderr}${stdout}`)
    return stdout
  }

  /** As `try`, with a manifest (any object) on stdin. */
  async tryApply(manifest: unknown, ...arguments_: readonly string[]): Promise<KubectlResult> {
    return await this.#execute(arguments_, manifest)
  }

  /** On a terminal of its own, at which `input` is typed. @returns what is seen there */
  async typed(input: string, ...arguments_: readonly string[]): Promise<KubectlResult> {
    const command = [this.#executable, ...this.#withKubeconfig(arguments_)].map((each) => `'${each}'`).join(' ')
    return await this.#finished('script', ['--quiet', '--return', '--command', command, '/dev/null'], input)
  }

  /** A command that stays: `get --watch`, `proxy`. */
  start(...arguments_: readonly string[]): RunningKubectl {
    return new RunningKubectl(spawn(this.#executable, this.#withKubeconfig(arguments_), {
      env: childEnvironment(this.#home),
      stdio: ['ignore', 'pipe', 'pipe'],
    }))
  }

  async #execute(arguments_: readonly string[], manifest?: unknown): Promise<KubectlResult> {
    return await this.#finished(this.#executable, this.#withKubeconfig(arguments_), manifest === undefined ? undefined : JSON.stringify(manifest))
  }

  async #finished(executable: string, arguments_: readonly string[], input: string | undefined): Promise<KubectlResult> {
    return await new Promise((resolve, reject) => {
      const options = { env: childEnvironment(this.#home), timeout: commandTimeoutMs, maxBuffer: outputBytesMax }
      const child = execFile(executable, arguments_, options, (error, stdout, stderr) => {
        if (error !== null && child.exitCode === null && child.signalCode === null) reject(error)
        else resolve({ code: child.exitCode, stdout, stderr })
      })
      child.stdin?.end(input)
    })
  }

  #withKubeconfig(arguments_: readonly string[]): string[] {
    return [`--kubeconfig=${join(this.#home, 'kubeconfig')}`, `--cache-dir=${join(this.#home, 'cache')}`, ...arguments_]
  }
}

/** Its lines as they come. */
export class RunningKubectl {
  readonly lines: string[] = []
  readonly exited: Promise<unknown>
  readonly #child: ChildProcess
  #stderr = ''

  constructor(child: ChildProcess) {
    this.#child = child
    const { stdout, stderr } = child
    if (stdout === null || stderr === null) throw new Error('kubectl has no output')
    createInterface({ input: stdout }).on('line', line => this.lines.push(line))
    stderr.setEncoding('utf8').on('data', (chunk: string) => {
      this.#stderr += chunk
    })
    this.exited = once(child, 'close')
    const kill = (): void => void child.kill('SIGKILL')
    process.once('exit', kill)
    child.once('exit', () => process.off('exit', kill))
  }

  get pid(): number {
    const { pid } = this.#child
    if (pid === undefined) throw new Error('kubectl did not start')
    return pid
  }

  /** Undefined while it runs, and where a signal has ended it. */
  get code(): number | undefined {
    return this.#child.exitCode ?? undefined
  }

  get stderr(): string {
    return this.#stderr
  }

  get running(): boolean {
    return this.#child.exitCode === null && this.#child.signalCode === null
  }

  /** @throws with what was printed, when kubectl ends first or the line does not come */
  async waitForLine(matches: (line: string) => boolean, what: string): Promise<string> {
    const deadlineMs = Date.now() + lineTimeoutMs
    for (;;) {
      const line = this.lines.find(matches)
      if (line !== undefined) return line
      if (!this.running || Date.now() > deadlineMs) {
        throw new Error(`kubectl printed no ${what}; last: ${this.lines.slice(-5).join(' | ')}; stderr: ${this.#stderr}`)
      }
      await delay(20)
    }
  }

  async stop(): Promise<void> {
    this.#child.kill('SIGINT')
    await this.exited
  }
}
