// What the tests run besides Sluice, built from source (go-build.ts), each group when the first test needs it:
//
//   kubernetes-1.36.3  kube-apiserver kubectl · kubelet kube-proxy · kube-controller-manager kubemark
//   etcd-3.6.16        etcd
//   containerd-2.4.2   containerd containerd-shim-runc-v2 ctr
//
// Kubernetes' own go.mod points its staging modules at folders that only its repository has; ours points them at their
// published versions.

import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { downloadModule, provide, type GoProduct } from './go-build.ts'

const kubernetesVersion = '1.36.3'
const etcdVersion = '3.6.16'
const containerdVersion = '2.4.2'

type Report = (line: string) => void

/** Control planes and their client. Absolute paths of executables, as in the other groups. */
export interface LabBinaries {
  readonly kubeApiserver: string
  readonly kubectl: string
  readonly etcd: string
}

/** A node, but for runc, which is the system's: a static one from Go's own cache would lack seccomp. */
export interface NodeBinaries {
  readonly kubelet: string
  readonly kubeProxy: string
  /** With its shim beside it, where it is looked for. */
  readonly containerd: string
  readonly ctr: string
}

/** Nodes without containers, in numbers, and who decides whether they are ready. */
export interface FleetBinaries {
  readonly kubeControllerManager: string
  readonly kubemark: string
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
  commands: commandsOf('k8s.io/kubernetes/cmd', ['kube-apiserver', 'kubectl', 'kubelet', 'kube-proxy', 'kube-controller-manager', 'kubemark']),
}

const etcd: GoProduct = {
  name: `etcd-${etcdVersion}`,
  files: etcdModule,
  linkerFlags: ['-s', '-w'],
  commands: { etcd: '.' },
}

const containerd: GoProduct = {
  name: `containerd-${containerdVersion}`,
  files: containerdModule,
  linkerFlags: ['-s', '-w', `-X github.com/containerd/containerd/v2/version.Version=v${containerdVersion}`],
  commands: commandsOf('github.com/containerd/containerd/v2/cmd', ['containerd', 'containerd-shim-runc-v2', 'ctr']),
}

/**
 * Builds what the cache lacks. The first run takes minutes and a gigabyte of module and build cache.
 *
 * @param report gets one line of progress at a time
 */
export async function labBinaries(report: Report): Promise<LabBinaries> {
  const directory = await provide(kubernetes, ['kube-apiserver', 'kubectl'], report)
  return {
    kubeApiserver: join(directory, 'kube-apiserver'),
    kubectl: join(directory, 'kubectl'),
    etcd: await etcdBinary(report),
  }
}

/** As `labBinaries`. */
export async function etcdBinary(report: Report): Promise<string> {
  return join(await provide(etcd, ['etcd'], report), 'etcd')
}

/** As `labBinaries`. */
export async function nodeBinaries(report: Report): Promise<NodeBinaries> {
  const kubernetesDirectory = await provide(kubernetes, ['kubelet', 'kube-proxy'], report)
  const containerdDirectory = await provide(containerd, ['containerd', 'containerd-shim-runc-v2', 'ctr'], report)
  return {
    kubelet: join(kubernetesDirectory, 'kubelet'),
    kubeProxy: join(kubernetesDirectory, 'kube-proxy'),
    containerd: join(containerdDirectory, 'containerd'),
    ctr: join(containerdDirectory, 'ctr'),
  }
}

/** As `labBinaries`. */
export async function fleetBinaries(report: Report): Promise<FleetBinaries> {
  const directory = await provide(kubernetes, ['kube-controller-manager', 'kubemark'], report)
  return { kubeControllerManager: join(directory, 'kube-controller-manager'), kubemark: join(directory, 'kubemark') }
}

async function kubernetesModule(): Promise<Record<string, string>> {
  const { goMod } = await downloadModule(`k8s.io/kubernetes@v${kubernetesVersion}`)
  const upstream = await readFile(goMod, 'utf8')
  const stagingVersion = `v0.${kubernetesVersion.split('.').slice(1).join('.')}`
  const replacements = Array.from(
    upstream.matchAll(/^\s*(?:replace\s+)?(\S+) => \.\/staging\/\S+$/gm),
    ([, module]) => `\t${module} => ${module} ${stagingVersion}`,
  )
  if (replacements.length === 0) throw new Error(`no staging module is replaced in ${goMod}`)
  return {
    'go.mod': [
      'module sluice.test/lab/kubernetes',
      /^go \S+$/m.exec(upstream)?.[0] ?? 'go 1.26.0',
      `require k8s.io/kubernetes v${kubernetesVersion}`,
      'replace (',
      ...replacements,
      ')\n',
    ].join('\n'),
    'tools.go': toolsFile(kubernetes),
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

async function containerdModule(): Promise<Record<string, string>> {
  return {
    'go.mod': `module sluice.test/lab/containerd\ngo 1.26.0\nrequire github.com/containerd/containerd/v2 v${containerdVersion}\n`,
    'tools.go': toolsFile(containerd),
  }
}

/** The build tag keeps these imports of commands, which nothing could compile, out of every build but tidy's. */
function toolsFile({ commands }: GoProduct): string {
  const imports = Object.values(commands).map(goPackage => `\t_ "${goPackage}"`)
  return ['//go:build tools', '', 'package tools', '', 'import (', ...imports, ')\n'].join('\n')
}

function commandsOf(folder: string, names: readonly string[]): Readonly<Record<string, string>> {
  return Object.fromEntries(names.map(name => [name, `${folder}/${name}`]))
}
