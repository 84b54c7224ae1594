// The way from the API server to its node, by kubectl: each test asks for what an API server needs its nodes for. The machine
// takes in nothing that it has not asked for, so whatever arrives has come by the agent.

import { createHash, randomBytes } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { open } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import type { Test } from 'tap'
import { extensionGroup } from './extension-server.ts'
import { imageName } from './image.ts'
import type { Kubectl } from './kubectl.ts'
import { hooksName, hooksPort, nodeName, type NodeLab } from './node.ts'
import { podNamespace, serviceAccount } from './pods.ts'

const podName = 'shell'
const inPod = ['--namespace', podNamespace, podName] as const
const readyTimeoutMs = 120_000
const pollIntervalMs = 250
const copiedBytes = 200 * 1024 * 1024
const servedBytes = 20 * 1024 * 1024
const servicePort = 443
/** A shell's prompt is echoed, and so is what is typed. */
const typedLines = 'tty\necho $((6 * 7))\nexit 7\n'

export async function healthz(t: Test, { kubectl }: NodeLab): Promise<void> {
  t.equal(await kubectl.run('get', '--raw', `/api/v1/nodes/${nodeName}/proxy/healthz`), 'ok')
}

export async function podRuns(t: Test, { kubectl }: NodeLab): Promise<void> {
  await kubectl.apply({
    apiVersion: 'v1', kind: 'Pod', metadata: { name: podName, namespace: podNamespace },
    spec: {
      nodeName, tolerations: [{ operator: 'Exists' }], terminationGracePeriodSeconds: 0, enableServiceLinks: false, serviceAccountName: serviceAccount,
      containers: [{
        name: podName, image: imageName, imagePullPolicy: 'Never',
        command: ['/bin/sh', '-c', `busybox head -c ${servedBytes} /dev/urandom >/tmp/file
httpd -p 8080 -h /tmp
i=0; while :; do echo "tick $i"; i=$((i + 1)); sleep 0.1; done`],
      }],
    },
  }, 'create', '--filename', '-')
  await kubectl.run('wait', '--for=condition=Ready', `--timeout=${readyTimeoutMs / 1_000}s`, `--namespace=${podNamespace}`, `pod/${podName}`)
  t.match(await kubectl.run('get', 'pod', ...inPod), /Running/)
}

export async function logs(t: Test, { kubectl }: NodeLab): Promise<void> {
  const following = kubectl.start('logs', '--follow', ...inPod)
  for (const count of [0, 5, 20]) t.equal(await following.waitForLine((line) => line === `tick ${count}`, `tick ${count}`), `tick ${count}`)
  await following.stop()
  t.match(await kubectl.run('logs', '--tail', '1', ...inPod), /^tick \d+$/m)
}

export async function exec(t: Test, { kubectl }: NodeLab): Promise<void> {
  const { code, stdout, stderr } = await kubectl.try('exec', ...inPod, '--', 'sh', '-c', 'echo out; echo err >&2; exit 3')
  t.same([code, stdout, stderr.split('\n')[0]], [3, 'out\n', 'err'])
  t.equal(await kubectl.apply({ typed: true }, 'exec', '--stdin', ...inPod, '--', 'cat'), '{"typed":true}')
}

export async function execOnTerminal(t: Test, { kubectl }: NodeLab): Promise<void> {
  const { code, stdout } = await kubectl.typed(typedLines, 'exec', '--stdin', '--tty', ...inPod, '--', 'sh')
  t.match(stdout, /\/dev\/pts\/\d+\r\n/)
  t.match(stdout, /\b42\r\n/)
  t.equal(code, 7)
}

export async function portForward(t: Test, { kubectl }: NodeLab): Promise<void> {
  const forward = kubectl.start('port-forward', `--namespace=${podNamespace}`, `pod/${podName}`, ':8080')
  const line = await forward.waitForLine((each) => each.startsWith('Forwarding from 127.0.0.1:'), 'port')
  const port = /127\.0\.0\.1:(\d+)/.exec(line)?.[1]
  const sum = (await kubectl.run('exec', ...inPod, '--', 'sha256sum', '/tmp/file')).split(' ')[0]
  const answers = await Promise.all(Array.from({ length: 4 }, async () => new Uint8Array(await (await fetch(`http://127.0.0.1:${port}/file`)).arrayBuffer())))
  for (const answer of answers) t.equal(createHash('sha256').update(answer).digest('hex'), sum)
  await forward.stop()
}

export async function copy(t: Test, { kubectl, directory }: NodeLab): Promise<void> {
  const [there, back] = [join(directory, 'there'), join(directory, 'back')]
  await writeRandom(there, copiedBytes)
  const sum = await sha256Of(there)
  const startMs = performance.now()
  await kubectl.run('cp', there, `${podNamespace}/${podName}:/tmp/copied`)
  const thereMs = performance.now() - startMs
  t.match(await kubectl.run('exec', ...inPod, '--', 'sha256sum', '/tmp/copied'), sum)
  const backFromMs = performance.now()
  await kubectl.run('cp', '--retries=0', `${podNamespace}/${podName}:/tmp/copied`, back)
  t.comment(`200 MiB: ${Math.round(thereMs)} ms there, ${Math.round(performance.now() - backFromMs)} ms back`)
  t.equal(await sha256Of(back), sum)
}

export async function webhook(t: Test, { kubectl, server }: NodeLab): Promise<void> {
  await kubectl.apply({
    apiVersion: 'admissionregistration.k8s.io/v1', kind: 'ValidatingWebhookConfiguration', metadata: { name: 'lab' },
    webhooks: [{
      name: 'lab.sluice.test', admissionReviewVersions: ['v1'], sideEffects: 'None', failurePolicy: 'Fail', timeoutSeconds: 10,
      clientConfig: { url: `https://${hooksName}:${hooksPort}/validate`, caBundle: base64(server.caPem) },
      rules: [{ apiGroups: [''], apiVersions: ['v1'], operations: ['CREATE'], resources: ['configmaps'] }],
      namespaceSelector: { matchLabels: { 'kubernetes.io/metadata.name': podNamespace } },
    }],
  }, 'create', '--filename', '-')
  const create = async (name: string, label: string): Promise<string> => {
    const { code, stdout, stderr } = await kubectl.tryApply({ apiVersion: 'v1', kind: 'ConfigMap', metadata: { name, namespace: podNamespace, labels: { forbidden: label } } }, 'create', '--filename', '-')
    return code === 0 ? stdout : stderr
  }
  // The API server takes a moment to know of it.
  await until(async () => (await create(`forbidden-${randomBytes(4).toString('hex')}`, 'true')).includes('the webhook on the node says no'), 'the webhook is asked')
  const allowed = `allowed-${randomBytes(4).toString('hex')}`
  t.match(await create(allowed, 'false'), `configmap/${allowed} created`)
  await kubectl.run('delete', 'validatingwebhookconfiguration', 'lab')
}

export async function aggregatedApi(t: Test, { kubectl, server, machine }: NodeLab): Promise<void> {
  const metadata = { name: 'extension', namespace: podNamespace }
  await kubectl.apply({ apiVersion: 'v1', kind: 'List', items: [
    { apiVersion: 'v1', kind: 'Service', metadata, spec: { ports: [{ port: servicePort, targetPort: hooksPort }] } },
    { apiVersion: 'discovery.k8s.io/v1', kind: 'EndpointSlice', metadata: { ...metadata, labels: { 'kubernetes.io/service-name': 'extension' } }, addressType: 'IPv4', ports: [{ port: hooksPort }], endpoints: [{ addresses: [machine.address], conditions: { ready: true } }] },
    { apiVersion: 'apiregistration.k8s.io/v1', kind: 'APIService', metadata: { name: `v1.${extensionGroup}` }, spec: { group: extensionGroup, version: 'v1', groupPriorityMinimum: 1_000, versionPriority: 10, caBundle: base64(server.caPem), service: { name: 'extension', namespace: podNamespace } } },
  ] }, 'create', '--filename', '-')
  await kubectl.run('wait', '--for=condition=Available', `--timeout=${readyTimeoutMs / 1_000}s`, 'apiservice', `v1.${extensionGroup}`)
  t.match(JSON.parse(await kubectl.run('get', '--raw', `/apis/${extensionGroup}/v1/greetings`)), { items: [{ text: `hello ${server.adminName}` }] })
}

export async function agentKilled(t: Test, lab: NodeLab): Promise<void> {
  const { kubectl } = lab
  const running = kubectl.start('exec', ...inPod, '--', 'sh', '-c', 'echo begun; sleep 600')
  await running.waitForLine((line) => line === 'begun', 'begun')
  const killedMs = performance.now()
  await lab.killAgent()
  await running.exited
  t.ok(running.code !== 0, `kubectl ends with an error: ${running.code}`)
  const endedMs = performance.now()
  await lab.restartAgent()
  const startedMs = performance.now()
  t.equal(await kubectl.run('exec', ...inPod, '--', 'cat', '/dev/null'), '')
  t.comment(`kubectl ended ${Math.round(endedMs - killedMs)} ms after the agent was killed; the agent was back after ${Math.round(startedMs - endedMs)} ms, and the next exec took ${Math.round(performance.now() - startedMs)} ms`)
}

/** What the API server asks of one gateway, when another one has the session. */
export async function sessionElsewhere(t: Test, lab: NodeLab): Promise<void> {
  await lab.other.start()
  await lab.askEgressOf(lab.other)
  await until(async () => (await lab.kubectl.try('exec', ...inPod, '--', 'cat', '/dev/null')).code === 0, 'exec by the other gateway')
  for (const check of [healthz, logs, exec, execOnTerminal, portForward, copy, webhook]) await check(t, lab)
  t.equal(await lab.other.metric('sluice_tunnel_sessions'), 0, 'it has no session itself')
  t.ok(await lab.other.metric('sluice_egress_bytes_total') > 2 * copiedBytes, 'and all of it went by it')
}

export async function gatewayWithSessionKilled(t: Test, lab: NodeLab): Promise<void> {
  const { kubectl, gateway, other } = lab
  await lab.killAgent()
  await lab.restartAgent('both gateways')
  t.equal(await other.metric('sluice_tunnel_sessions'), 1)
  const running = kubectl.start('exec', ...inPod, '--', 'sh', '-c', 'echo begun; sleep 600')
  await running.waitForLine((line) => line === 'begun', 'begun')
  await gateway.kill()
  await healthz(t, lab)
  await exec(t, lab)
  t.ok(running.running, 'what went by the other gateway goes on')
  await running.stop()
  await gateway.start()
  // As it was.
  await lab.killAgent()
  await lab.restartAgent()
  await lab.askEgressOf(gateway)
}

export async function sameAddresses(t: Test, lab: NodeLab): Promise<void> {
  const { neighbour, kubectl } = lab
  const own = `/api/v1/nodes/${nodeName}/proxy/healthz`
  const its = `/api/v1/nodes/${neighbour.node}/proxy/healthz`
  t.equal(await neighbour.kubectl.run('get', '--raw', its), '"globex"')
  t.equal(await kubectl.run('get', '--raw', own), 'ok')
  const address = async (of: Kubectl, node: string): Promise<string> => await of.run('get', 'node', node, '--output', 'jsonpath={.status.addresses[?(@.type=="InternalIP")].address}')
  t.equal(await address(kubectl, nodeName), await address(neighbour.kubectl, neighbour.node), 'and their addresses are the same')
}

/** docs/egress.md says what happens. */
export async function gatewayDrained(t: Test, { kubectl, gateway }: NodeLab): Promise<void> {
  const logs = await followed(kubectl)
  const { ended } = await gateway.drain()
  await logs.goesOn()
  t.pass('what was begun goes on')
  await gateway.start()
  await until(async () => (await kubectl.try('exec', ...inPod, '--', 'cat', '/dev/null')).code === 0, 'exec through the gateway in its place')
  t.pass('what is new goes through the gateway that has taken its place')
  await logs.goesOn()
  await logs.stop()
  t.same(await ended(), { code: 0, signal: null }, 'and the one before ends, at the latest when its time to drain is over: a kubelet watches by it')
}

/** @returns a command that goes on, and has been seen to */
async function followed(kubectl: Kubectl): Promise<{ goesOn(): Promise<void>; stop(): Promise<void> }> {
  const following = kubectl.start('logs', '--follow', '--tail=1', ...inPod)
  await following.waitForLine((line) => line.startsWith('tick '), 'tick')
  return {
    goesOn: async () => {
      const seen = following.lines.length
      await until(async () => {
        if (!following.running) throw new Error(`kubectl logs has ended: ${following.lines.slice(-3).join(' | ')}`)
        return following.lines.length > seen + 5
      }, 'further lines')
    },
    stop: async () => await following.stop(),
  }
}

async function until(holds: () => Promise<boolean>, what: string): Promise<void> {
  const deadlineMs = Date.now() + readyTimeoutMs
  while (!await holds()) {
    if (Date.now() > deadlineMs) throw new Error(`not within ${readyTimeoutMs} ms: ${what}`)
    await delay(pollIntervalMs)
  }
}

function base64(text: string): string {
  return Buffer.from(text).toString('base64')
}

async function writeRandom(path: string, bytes: number): Promise<void> {
  const file = await open(path, 'w')
  const chunk = 1024 * 1024
  for (let written = 0; written < bytes; written += chunk) await file.write(randomBytes(chunk))
  await file.close()
}

async function sha256Of(path: string): Promise<string> {
  const hash = createHash('sha256')
  for await (const chunk of createReadStream(path)) hash.update(chunk)
  return hash.digest('hex')
}
