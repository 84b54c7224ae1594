// Builds kube-apiserver, kubectl and etcd from source with the Go toolchain, once, into a cache outside the checkout:
//
//   <cache>/sluice-lab/kubernetes-1.36.3-linux-x64/{kube-apiserver,kubectl}
//   <cache>/sluice-lab/etcd-3.6.16-linux-x64/etcd
//
// <cache>/sluice-lab is $SLUICE_LAB_CACHE where that is set, else $XDG_CACHE_HOME or ~/.cache has it. Kubernetes' own
// go.mod points its staging modules at folders that only its repository has; ours points them at their published
// versions. A binary is renamed into place when it is whole, so that an interrupted build leaves nothing to trip over.

import { execFile, spawn } from 'node:child_process'
import { access, constants, mkdir, readFile, rename, writeFile } from 'node:fs/promises'
import { homedir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { promisify } from 'node:util'
import { createWorkFolder, removeLeftovers } from '../support/work-folder.ts'

const kubernetesVersion = '1.36.3'
const etcdVersion = '3.6.16'
const goCommand = 'go'
const progressIntervalMs = 15_000
/** `go mod download -json` and `go mod tidy` say little; this bounds what of it is kept for an error. */
const outputBytesMax = 16 * 1024 * 1024

/** Absolute paths of executables. */
export interface LabBinaries {
  readonly kubeApiserver: string
  readonly kubectl: string
  readonly etcd: string
}

/** One Go module of ours, and the commands built in it. */
interface GoProduct {
  readonly name: string
  /** File name to content; called only when something has to be built. */
  readonly files: () => Promise<Readonly<Record<string, string>>>
  readonly linkerFlags: readonly string[]
  /** Name of the executable to its Go package. */
  readonly commands: Readonly<Record<string, string>>
}

const kubernetes: GoProduct = {
  name: `kubernetes-${kubernetesVersion}`,
  files: kubernetesModule,
  linkerFlags: [
    '-s',
    '-w',
    `-X k8s.io/component-base/version.gitVersion=v${kubernetesVersion}`,
    `-X k8s.io/component-base/version.gitMajor=${kubernetesVersion.split('.')[0] ?? ''}`,
    `-X k8s.io/component-base/version.gitMinor=${kubernetesVersion.split('.')[1] ?? ''}`,
  ],
  commands: {
    'kubectl': 'k8s.io/kubernetes/cmd/kubectl',
    'kube-apiserver': 'k8s.io/kubernetes/cmd/kube-apiserver',
  },
}

const etcd: GoProduct = {
  name: `etcd-${etcdVersion}`,
  files: etcdModule,
  linkerFlags: ['-s', '-w'],
  commands: { etcd: '.' },
}

/**
 * Builds what the cache lacks. The first run takes minutes and a gigabyte of module and build cache.
 *
 * @param report gets one line of progress at a time
 */
export async function labBinaries(report: (line: string) => void): Promise<LabBinaries> {
  const cache = cacheDirectory()
  const kubernetesDirectory = await provide(cache, kubernetes, report)
  const etcdDirectory = await provide(cache, etcd, report)
  return {
    kubeApiserver: join(kubernetesDirectory, 'kube-apiserver'),
    kubectl: join(kubernetesDirectory, 'kubectl'),
    etcd: join(etcdDirectory, 'etcd'),
  }
}

function cacheDirectory(): string {
  const { SLUICE_LAB_CACHE: own, XDG_CACHE_HOME: xdg } = process.env
  if (own !== undefined && own !== '') return own
  return join(xdg !== undefined && xdg !== '' ? xdg : join(homedir(), '.cache'), 'sluice-lab')
}

/** @returns the folder with the product's executables */
async function provide(cache: string, product: GoProduct, report: (line: string) => void): Promise<string> {
  const directory = join(cache, `${product.name}-${process.platform}-${process.arch}`)
  await removeLeftovers(directory)
  const missing: [name: string, goPackage: string][] = []
  for (const [name, goPackage] of Object.entries(product.commands)) {
    if (!await isExecutable(join(directory, name))) missing.push([name, goPackage])
  }
  if (missing.length === 0) return directory

  await requireGo()
  await mkdir(directory, { recursive: true })
  const { path: work, remove } = await createWorkFolder(directory)
  try {
    report(`${product.name}: fetching the module and its dependencies`)
    for (const [name, content] of Object.entries(await product.files())) await writeFile(join(work, name), content)
    // -e: some test dependencies of dependencies are not published; the commands do not need them.
    await go(work, ['mod', 'tidy', '-e'])
    for (const [name, goPackage] of missing) {
      const built = join(work, `${name}.built`)
      const arguments_ = ['build', '-v', '-ldflags', product.linkerFlags.join(' '), '-o', built, goPackage]
      await goWithProgress(work, arguments_, `${product.name}: building ${name}`, report)
      await rename(built, join(directory, name))
    }
  } finally {
    remove()
  }
  report(`${product.name}: in ${directory}`)
  return directory
}

async function kubernetesModule(): Promise<Record<string, string>> {
  const downloaded: unknown = JSON.parse(await go(homedir(), ['mod', 'download', '-json', `k8s.io/kubernetes@v${kubernetesVersion}`]))
  if (typeof downloaded !== 'object' || downloaded === null || !('GoMod' in downloaded) || typeof downloaded.GoMod !== 'string') {
    throw new Error(`go mod download -json printed no GoMod: ${JSON.stringify(downloaded)}`)
  }
  const upstream = await readFile(downloaded.GoMod, 'utf8')
  const stagingVersion = `v0.${kubernetesVersion.split('.').slice(1).join('.')}`
  const replacements = Array.from(
    upstream.matchAll(/^\s*(?:replace\s+)?(\S+) => \.\/staging\/\S+$/gm),
    ([, module]) => `\t${module} => ${module} ${stagingVersion}`,
  )
  if (replacements.length === 0) throw new Error(`no staging module is replaced in ${downloaded.GoMod}`)
  const imports = Object.values(kubernetes.commands).map(goPackage => `\t_ "${goPackage}"`)
  return {
    'go.mod': [
      'module sluice.test/lab/kubernetes',
      /^go \S+$/m.exec(upstream)?.[0] ?? 'go 1.26.0',
      `require k8s.io/kubernetes v${kubernetesVersion}`,
      'replace (',
      ...replacements,
      ')\n',
    ].join('\n'),
    // The build tag keeps these imports of commands, which nothing could compile, out of every build but tidy's.
    'tools.go': ['//go:build tools', '', 'package tools', '', 'import (', ...imports, ')\n'].join('\n'),
  }
}

async function etcdModule(): Promise<Record<string, string>> {
  return {
    'go.mod': `module sluice.test/lab/etcd\ngo 1.24.0\nrequire go.etcd.io/etcd/server/v3 v${etcdVersion}\n`,
    'main.go': [
      'package main',
      'import (\n\t"os"\n\t"go.etcd.io/etcd/server/v3/etcdmain"\n)',
      'func main() { etcdmain.Main(os.Args) }\n',
    ].join('\n\n'),
  }
}

async function isExecutable(path: string): Promise<boolean> {
  return await access(path, constants.X_OK).then(() => true, () => false)
}

async function requireGo(): Promise<void> {
  try {
    await go(homedir(), ['version'])
  } catch (error) {
    throw new Error(
      'The Kubernetes tests build kube-apiserver, kubectl and etcd from source, and for that need Go 1.26 or newer as `go` on PATH'
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
