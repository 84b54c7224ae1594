// Who decides whether nodes are ready: the real kube-controller-manager, with its node lifecycle controller and its defaults
// for that. A node whose lease was not renewed for 50 s is not ready.

import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { LabProcess } from '../support/lab-process.ts'
import type { ApiServer } from './api-server.ts'
import { kubeconfig } from './kubeconfig.ts'

export async function startControllerManager(executable: string, { directory, server }: { readonly directory: string; readonly server: ApiServer }): Promise<LabProcess> {
  const file = join(directory, 'controller-manager-kubeconfig')
  const { address, port, hostname: serverName, caPem, admin: client } = server
  await writeFile(file, kubeconfig({ server: `https://${address}:${port}`, serverName, caPem, client }), { mode: 0o600 })
  return new LabProcess({
    name: 'kube-controller-manager',
    executable,
    arguments_: [`--kubeconfig=${file}`, '--controllers=node-lifecycle-controller', '--leader-elect=false', '--secure-port=0'],
    directory,
  })
}
