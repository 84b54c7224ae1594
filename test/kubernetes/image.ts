// The one image of the lab, for pods and their sandboxes: Debian's static busybox and nothing else. It is built on the spot,
// since no registry is asked.

import { execFile } from 'node:child_process'
import { copyFile, mkdir, symlink } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'

export const imageName = 'localhost/sluice-lab/busybox:1'
export const busyboxFile = '/bin/busybox'
const buildTimeoutMs = 120_000

/** @returns the file of an OCI archive in `directory` */
export async function buildImage(directory: string): Promise<string> {
  const root = join(directory, 'image')
  const archive = join(directory, 'image.tar')
  await mkdir(join(root, 'bin'), { recursive: true })
  await mkdir(join(root, 'tmp'))
  await copyFile(busyboxFile, join(root, 'bin', 'busybox'))
  for (const name of ['sh', 'cat', 'nc', 'sleep', 'tar', 'httpd', 'sha256sum', 'tty']) await symlink('busybox', join(root, 'bin', name))
  const buildah = async (...arguments_: string[]): Promise<string> => {
    const storage = ['--storage-driver', 'vfs', '--root', join(directory, 'buildah'), '--runroot', join(directory, 'buildah-run')]
    const { stdout } = await promisify(execFile)('buildah', [...storage, ...arguments_], { timeout: buildTimeoutMs })
    return stdout.trim()
  }
  const container = await buildah('from', 'scratch')
  await buildah('add', '--quiet', container, root, '/')
  // A sandbox has no command of its own: this is what keeps its namespaces.
  await buildah('config', '--entrypoint', '["/bin/sh", "-c", "trap exit TERM; while :; do sleep 3600 & wait; done"]', container)
  await buildah('commit', '--quiet', '--disable-compression', container, `oci-archive:${archive}:${imageName}`)
  return archive
}
