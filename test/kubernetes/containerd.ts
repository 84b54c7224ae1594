// containerd in a machine: its folders are the usual ones, which are the machine's own; runc and the CNI plugins are Debian's.
// Pods without hostNetwork are on a point-to-point link with the node.

import { existsSync, readdirSync, rmdirSync } from 'node:fs'
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { LabProcess } from '../support/lab-process.ts'
import type { NodeBinaries } from './binaries.ts'
import { buildImage, imageName } from './image.ts'
import type { Machine } from './machine.ts'

export const containerdSocket = 'unix:///run/containerd/containerd.sock'
const podRange = '10.244.1.0/24'
export const pluginFolder = '/usr/lib/cni'
const cgroupFolder = '/sys/fs/cgroup'
/** Where containerd puts pods that kubelet names no parent for. */
const cgroupName = 'k8s.io'
const readyTimeoutMs = 60_000

/** Nothing that depends on the kernel having overlayfs or AppArmor, or on scores below that of whoever runs the tests. */
const config = (networks: string): string => `version = 3
disabled_plugins = ['io.containerd.internal.v1.opt', 'io.containerd.nri.v1.nri']
[plugins.'io.containerd.cri.v1.images']
  snapshotter = 'native'
  [plugins.'io.containerd.cri.v1.images'.pinned_images]
    sandbox = '${imageName}'
[plugins.'io.containerd.cri.v1.runtime']
  restrict_oom_score_adj = true
  disable_apparmor = true
  [plugins.'io.containerd.cri.v1.runtime'.cni]
    bin_dirs = ['${pluginFolder}']
    conf_dir = '${networks}'
`

const network = JSON.stringify({
  cniVersion: '1.0.0',
  name: 'pods',
  plugins: [{ type: 'ptp', ipam: { type: 'host-local', ranges: [[{ subnet: podRange }]], routes: [{ dst: '0.0.0.0/0' }] } }],
})

export interface Containerd {
  readonly process: LabProcess
  /** After the machine has stopped: what the system does not remove by itself. */
  readonly removeCgroups: () => void
}

/** With the lab's image in it. */
export async function startContainerd(machine: Machine, { binaries, directory }: { readonly binaries: NodeBinaries; readonly directory: string }): Promise<Containerd> {
  const networks = join(directory, 'cni')
  const configFile = join(directory, 'containerd.toml')
  await mkdir(networks, { recursive: true })
  await writeFile(join(networks, 'pods.conflist'), network)
  await writeFile(configFile, config(networks))
  const archive = await buildImage(directory)
  const before = new Set(podCgroups())
  const process_ = machine.run('containerd', binaries.containerd, ['--config', configFile])
  const ctr = (...arguments_: string[]): string => machine.exec(binaries.ctr, ['--namespace', 'k8s.io', ...arguments_])
  let lastFault = ''
  await process_.waitUntil('has the image', readyTimeoutMs, async () => {
    try {
      ctr('images', 'import', '--local', '--snapshotter', 'native', archive)
      return true
    } catch (error) {
      lastFault = String(error)
      return false
    }
  }).catch((error: unknown) => {
    throw new Error(`no image in containerd: ${lastFault}`, { cause: error })
  })
  return {
    process: process_,
    removeCgroups: () => {
      for (const folder of podCgroups()) if (!before.has(folder)) rmdirSync(folder)
      for (const root of cgroupRoots()) removeUnlessUsed(join(root, cgroupName))
    },
  }
}

/** Version 2 has one hierarchy, version 1 one for each controller. */
function cgroupRoots(): string[] {
  const roots = [cgroupFolder, ...readdirSync(cgroupFolder).map(name => join(cgroupFolder, name))]
  return roots.filter(root => existsSync(join(root, cgroupName)))
}

function podCgroups(): string[] {
  const found: string[] = []
  for (const root of cgroupRoots()) {
    for (const entry of readdirSync(join(root, cgroupName), { withFileTypes: true })) {
      if (entry.isDirectory()) found.push(join(root, cgroupName, entry.name))
    }
  }
  return found
}

/** Somebody else's pods may be there. */
function removeUnlessUsed(folder: string): void {
  try {
    rmdirSync(folder)
  } catch (error) {
    if (!(error instanceof Error && 'code' in error && (error.code === 'EBUSY' || error.code === 'ENOTEMPTY'))) throw error
  }
}
