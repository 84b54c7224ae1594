// Pods whose container asks the API server who it is, by the service's name and address and with nothing but what kubelet
// gave it, and tells the answers in its termination message: logs would need the way from API server to kubelet.

import { setTimeout as delay } from 'node:timers/promises'
import type { ApiServer } from './api-server.ts'
import { serviceAddress } from './api-server.ts'
import { imageName } from './image.ts'

export const podNamespace = 'sluice'
export const serviceAccount = 'prober'
const podTimeoutMs = 180_000
const pollIntervalMs = 500
const accountFolder = '/var/run/secrets/kubernetes.io/serviceaccount'

/** kubectl verifies the API server with the pod's authority, and shows the pod's token. */
const script = `
set -eu
trusting() {
  authority=$1; shift
  kubectl --server=https://kubernetes.default --certificate-authority="$authority" --token="$(cat ${accountFolder}/token)" "$@"
}
by_name() { trusting ${accountFolder}/ca.crt "$@"; }
report() { printf '%s: ' "$1"; shift; "$@" 2>&1 || printf 'failed with %s' "$?"; echo; }
{
  echo "dials: $KUBERNETES_SERVICE_HOST:$KUBERNETES_SERVICE_PORT"
  report version by_name get --raw=/version
  report who by_name auth whoami --output=jsonpath='{.status.userInfo.username}'
  report allowed by_name get configmap identity --namespace=${podNamespace} --output=jsonpath='{.data.tenant}'
  report in-cluster kubectl get configmap identity --namespace=${podNamespace} --output=jsonpath='{.data.tenant}'
  report forbidden kubectl get secrets --namespace=${podNamespace}
  report stranger trusting /strangers.crt get --raw=/version
} >/dev/termination-log
`

/** What a controller manager would make, and what the pods may read. */
export async function preparePods(server: ApiServer): Promise<void> {
  const inNamespace = { namespace: podNamespace }
  const rbac = 'rbac.authorization.k8s.io'
  const objects: readonly (readonly [path: string, object: unknown])[] = [
    ['/api/v1/namespaces', { metadata: { name: podNamespace } }],
    [`/api/v1/namespaces/${podNamespace}/configmaps`, { metadata: { name: 'kube-root-ca.crt' }, data: { 'ca.crt': server.caPem } }],
    [`/api/v1/namespaces/${podNamespace}/configmaps`, { metadata: { name: 'identity' }, data: { tenant: server.tenant } }],
    [`/api/v1/namespaces/${podNamespace}/serviceaccounts`, { metadata: { name: serviceAccount } }],
    [`/apis/${rbac}/v1/namespaces/${podNamespace}/roles`, {
      metadata: { name: serviceAccount }, rules: [{ apiGroups: [''], resources: ['configmaps'], verbs: ['get'] }],
    }],
    [`/apis/${rbac}/v1/namespaces/${podNamespace}/rolebindings`, {
      metadata: { name: serviceAccount },
      roleRef: { apiGroup: rbac, kind: 'Role', name: serviceAccount },
      subjects: [{ kind: 'ServiceAccount', name: serviceAccount, ...inNamespace }],
    }],
  ]
  for (const [path, object] of objects) await create(server, path, object)
}

export interface ProbeOptions {
  readonly name: string
  readonly node: string
  readonly hostNetwork: boolean
  /** Files of the node: a static kubectl, and an authority that the API server's certificate is not from. */
  readonly kubectl: string
  readonly strangersCa: string
}

export interface ProbeResult {
  readonly exitCode: number
  /** By what was asked. */
  readonly answers: Readonly<Record<string, string>>
  readonly podIp: string
}

/** Resolves when the container has ended by itself. */
export async function probe(server: ApiServer, { name, node, hostNetwork, kubectl, strangersCa }: ProbeOptions): Promise<ProbeResult> {
  const hostFile = (volume: string, path: string): unknown => ({ name: volume, hostPath: { path, type: 'File' } })
  await create(server, `/api/v1/namespaces/${podNamespace}/pods`, {
    metadata: { name },
    spec: {
      nodeName: node,
      hostNetwork,
      serviceAccountName: serviceAccount,
      restartPolicy: 'Never',
      tolerations: [{ operator: 'Exists' }],
      // There is no cluster DNS.
      hostAliases: [{ ip: serviceAddress, hostnames: ['kubernetes.default'] }],
      containers: [{
        name: 'probe',
        image: imageName,
        imagePullPolicy: 'Never',
        command: ['/bin/sh', '-c', script],
        env: [{ name: 'HOME', value: '/tmp' }],
        volumeMounts: [
          { name: 'kubectl', mountPath: '/bin/kubectl', readOnly: true },
          { name: 'strangers', mountPath: '/strangers.crt', readOnly: true },
        ],
      }],
      volumes: [hostFile('kubectl', kubectl), hostFile('strangers', strangersCa)],
    },
  })
  const deadlineMs = Date.now() + podTimeoutMs
  for (;;) {
    const { body } = await server.request(`/api/v1/namespaces/${podNamespace}/pods/${name}`)
    const { status }: Pod = JSON.parse(body)
    const terminated = status.containerStatuses?.[0]?.state.terminated
    if (terminated !== undefined) return { exitCode: terminated.exitCode, answers: answersIn(terminated.message ?? ''), podIp: status.podIP ?? '' }
    if (Date.now() > deadlineMs) throw new Error(`pod ${name} has not ended within ${podTimeoutMs} ms: ${JSON.stringify(status)}`)
    await delay(pollIntervalMs)
  }
}

interface Pod {
  readonly status: {
    readonly podIP?: string
    readonly containerStatuses?: readonly { readonly state: { readonly terminated?: { readonly exitCode: number; readonly message?: string } } }[]
  }
}

/** Answers over several lines belong to the name before them. */
function answersIn(message: string): Record<string, string> {
  const answers: Record<string, string> = {}
  for (const [, name = '', answer = ''] of message.matchAll(/^([a-z-]+): (.*(?:\n(?![a-z-]+: ).*)*)/gm)) answers[name] = answer.trim()
  return answers
}

async function create(server: ApiServer, path: string, body: unknown): Promise<void> {
  const response = await server.request(path, { method: 'POST', body })
  if (response.status !== 201) throw new Error(`POST ${path}: ${response.status} ${response.body}`)
}
