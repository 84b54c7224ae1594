// Builds commands from source with the Go toolchain, once, into a cache outside the checkout, which is $SLUICE_LAB_CACHE
// where that is set, else `sluice-lab` below $XDG_CACHE_HOME or ~/.cache:
//
//   <cache>/<product>-linux-x64/<command>
//
// A binary is renamed into place when it is whole, so that an interrupted build leaves nothing to trip over.

import { execFile, spawn } from 'node:child_process'
import { access, constants, mkdir, rename, writeFile } from 'node:fs/promises'
import { homedir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { promisify } from 'node:util'
import { createWorkFolder, removeLeftovers } from '../support/work-folder.ts'

const goCommand = 'go'
const progressIntervalMs = 15_000
/** `go mod download -json` and `go mod tidy` say little; this bounds what of it is kept for an error. */
const outputBytesMax = 16 * 1024 * 1024

/** One Go module of ours, and the commands that can be built in it. */
export interface GoProduct {
  /** With its version. */
  readonly name: string
  /** File name to content; called only when something has to be built. */
  readonly files: () => Promise<Readonly<Record<string, string>>>
  readonly linkerFlags: readonly string[]
  /** Name of the executable to its Go package, whose last element (of '.', the module's) is that name. */
  readonly commands: Readonly<Record<string, string>>
}

/**
 * Builds those of `commands` that the product's folder lacks.
 *
 * @returns the folder with the product's executables
 */
export async function provide(product: GoProduct, commands: readonly string[], report: (line: string) => void): Promise<string> {
  const directory = join(cacheDirectory(), `${product.name}-${process.platform}-${process.arch}`)
  await removeLeftovers(directory)
  const missing: string[] = []
  for (const name of commands) if (!await isExecutable(join(directory, name))) missing.push(name)
  if (missing.length === 0) return directory

  await requireGo()
  await mkdir(directory, { recursive: true })
  const { path: work, remove } = await createWorkFolder(directory)
  try {
    report(`${product.name}: fetching the module and its dependencies`)
    for (const [name, content] of Object.entries(await product.files())) await writeFile(join(work, name), content)
    // -e: some test dependencies of dependencies are not published; the commands do not need them.
    await go(work, ['mod', 'tidy', '-e'])
    // In one go: what the commands have in common is compiled once, and while one is linked the next is compiled.
    const built = join(work, 'built')
    const packages = missing.map(name => product.commands[name] ?? fail(`${product.name} has no command ${name}`))
    const arguments_ = ['build', '-v', '-ldflags', product.linkerFlags.join(' '), '-o', `${built}/`, ...packages]
    await goWithProgress(work, arguments_, `${product.name}: building ${missing.join(', ')}`, report)
    for (const name of missing) await rename(join(built, name), join(directory, name))
  } finally {
    remove()
  }
  report(`${product.name}: in ${directory}`)
  return directory
}

/** @returns the folder of the module in Go's module cache, and the path of its go.mod */
export async function downloadModule(module: string): Promise<{ readonly goMod: string }> {
  const downloaded: unknown = JSON.parse(await go(homedir(), ['mod', 'download', '-json', module]))
  if (typeof downloaded !== 'object' || downloaded === null || !('GoMod' in downloaded) || typeof downloaded.GoMod !== 'string') {
    throw new Error(`go mod download -json printed no GoMod: ${JSON.stringify(downloaded)}`)
  }
  return { goMod: downloaded.GoMod }
}

function fail(message: string): never {
  throw new Error(message)
}

function cacheDirectory(): string {
  const { SLUICE_LAB_CACHE: own, XDG_CACHE_HOME: xdg } = process.env
  if (own !== undefined && own !== '') return own
  return join(xdg !== undefined && xdg !== '' ? xdg : join(homedir(), '.cache'), 'sluice-lab')
}

async function isExecutable(path: string): Promise<boolean> {
  return await access(path, constants.X_OK).then(() => true, () => false)
}

async function requireGo(): Promise<void> {
  try {
    await go(homedir(), ['version'])
  } catch (error) {
    throw new Error(
      'The Kubernetes tests build Kubernetes, etcd and containerd from source, and for that need Go 1.26 or newer as `go` on PATH'
      + ' (or the binaries in $SLUICE_LAB_CACHE from an earlier run).',
      { cause: error },
    )
  }
}

function goEnvironment(): NodeJS.ProcessEnv {
  // Static binaries, as Kubernetes releases them, and no C compiler needed.
  return { ...process.env, CGO_ENABLED: '0', GOWORK: 'off' }
}

async function go(cwd: string, arguments_: readonly string[]): Promise<string> {
  const { stdout } = await promisify(execFile)(goCommand, arguments_, { cwd, env: goEnvironment(), maxBuffer: outputBytesMax })
  return stdout
}

/** With `-v` Go names each package that it compiles, on stderr: that is the progress, and its tail the error. */
async function goWithProgress(
  cwd: string,
  arguments_: readonly string[],
  what: string,
  report: (line: string) => void,
): Promise<void> {
  const startedMs = Date.now()
  const elapsed = (): string => `${Math.round((Date.now() - startedMs) / 1000)} s`
  report(`${what} (minutes, the first time)`)
  const child = spawn(goCommand, arguments_, { cwd, env: goEnvironment(), stdio: ['ignore', 'ignore', 'pipe'] })
  let packages = 0
  let tail: string[] = []
  createInterface({ input: child.stderr }).on('line', line => {
    packages += 1
    tail = [...tail.slice(-19), line]
  })
  const progress = setInterval(() => report(`${what}: ${packages} packages, ${elapsed()}, now ${tail.at(-1) ?? ''}`), progressIntervalMs)
  const stop = (): void => void child.kill()
  process.once('exit', stop)
  try {
    const code = await new Promise((resolve, reject) => {
      child.once('error', reject)
      child.once('close', resolve)
    })
    if (code !== 0) throw new Error(`go ${arguments_.join(' ')} failed (${String(code)}):\n${tail.join('\n')}`)
  } finally {
    clearInterval(progress)
    process.off('exit', stop)
  }
  report(`${what}: done in ${elapsed()}`)
}
