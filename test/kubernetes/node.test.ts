// A real kubelet and kube-proxy on a machine that can reach nothing but the gateway's port. The tests run in this order.

import { setTimeout as delay } from 'node:timers/promises'
import { test, type Test } from 'tap'
import { serviceAddress } from './api-server.ts'
import { labBinaries, nodeBinaries } from './binaries.ts'
import { agentKilled, aggregatedApi, copy, exec, execOnTerminal, gatewayDrained, gatewayWithSessionKilled, healthz, logs, podRuns, portForward, sameAddresses, sessionElsewhere, webhook } from './node-egress.ts'
import { advertisedAddress, apiServerPort, cannotRunNodes, nodeName, startNodeLab, type NodeLab } from './node.ts'
import { podNamespace, preparePods, probe, serviceAccount } from './pods.ts'

const readyTimeoutMs = 120_000
const pollIntervalMs = 500
const dialSeconds = 3

const tests: readonly (readonly [name: string, run: (t: Test, lab: NodeLab) => Promise<void>])[] = [
  ['the API server is out of the machine’s reach but through the agent', onlyThroughTheAgent],
  ['the node becomes ready', nodeReady],
  ['kube-proxy leads the service’s address to the advertised one', serviceAnswers],
  ['a pod’s token reaches kubernetes.default through kube-proxy, agent and gateway', podNetwork],
  ['and so it does from a pod on the node’s network', hostNetwork],
  ['the API server reaches its kubelet', healthz],
  ['a pod for all of these', podRuns],
  ['kubectl logs, followed', logs],
  ['kubectl exec', exec],
  ['kubectl exec on a terminal', execOnTerminal],
  ['kubectl port-forward', portForward],
  ['kubectl cp of 200 MiB there and back', copy],
  ['a validating webhook on the node, by a name that only the node knows', webhook],
  ['an aggregated API on the node, by its service', aggregatedApi],
  ['an agent that is killed ends an exec at once, and the next one works when it is back', agentKilled],
  ['two tenants whose nodes have the same address never meet', sameAddresses],
  ['all of it by a gateway that has no session with the node, from one that has', sessionElsewhere],
  ['a gateway that is killed, while another has a session too', gatewayWithSessionKilled],
  ['a gateway that drains during kubectl logs, and another in its place', gatewayDrained],
  ['the node stays ready, and its pods are served, after the gateway was killed and is back', gatewayKilled],
]

void test('a real node whose only way out is the gateway', { skip: cannotRunNodes() ?? false }, async (t) => {
  const report = (line: string): void => void process.stderr.write(`${line}\n`)
  const lab = await startNodeLab({ ...await labBinaries(report), ...await nodeBinaries(report) })
  t.teardown(async () => {
    if (!t.passing()) process.stderr.write(`${await lab.logTails()}\n`)
    await lab.stop()
  })
  for (const [name, run] of tests) await t.test(name, async (subtest) => await run(subtest, lab))
})

async function onlyThroughTheAgent(t: Test, { machine, server, gatewayPort }: NodeLab): Promise<void> {
  t.equal((await server.request('/readyz')).status, 200, `here it answers at ${server.address}:${server.port}`)
  t.equal(dial(machine, `https://${server.address}:${server.port}/readyz`), 'no connection', 'from the machine it does not')
  t.equal(dial(machine, `https://${server.address}:22/`), 'no connection', 'nor does any other port')
  t.equal(dial(machine, `https://${machine.hostAddress}:${gatewayPort}/`), 'refused by TLS', 'the gateway’s is open, and wants a name')
  t.match(dial(machine, `https://${advertisedAddress}:${apiServerPort}/version`), /"gitVersion": "v1\./, 'the agent’s leads to the API server')
}

async function nodeReady(t: Test, { server, gateway }: NodeLab): Promise<void> {
  const deadlineMs = Date.now() + readyTimeoutMs
  let seen: unknown
  for (;;) {
    const { status, body } = await server.request(`/api/v1/nodes/${nodeName}`)
    const node: Node = status === 200 ? JSON.parse(body) : {}
    seen = node.status?.conditions?.find(({ type }) => type === 'Ready')
    if (node.status?.conditions?.some(({ type, status: is }) => type === 'Ready' && is === 'True') === true) break
    if (Date.now() > deadlineMs) throw new Error(`not ready within ${readyTimeoutMs} ms: ${JSON.stringify(seen)}`)
    await delay(pollIntervalMs)
  }
  t.match(seen, { reason: 'KubeletReady' })
  t.ok(await gateway.metric('sluice_tunnel_streams') > 0, 'by streams of the tunnel')
}

async function serviceAnswers(t: Test, { machine, server }: NodeLab): Promise<void> {
  const { body } = await server.request('/apis/discovery.k8s.io/v1/namespaces/default/endpointslices/kubernetes')
  t.match(JSON.parse(body), { endpoints: [{ addresses: [advertisedAddress] }], ports: [{ port: apiServerPort }] }, 'what the API server says of itself')
  const deadlineMs = Date.now() + readyTimeoutMs
  let answer = ''
  while (!answer.includes('gitVersion') && Date.now() < deadlineMs) {
    answer = dial(machine, `https://${serviceAddress}:443/version`)
    await delay(pollIntervalMs)
  }
  t.match(answer, /"gitVersion": "v1\./)
}

async function podNetwork(t: Test, lab: NodeLab): Promise<void> {
  await preparePods(lab.server)
  const podIp = await probed(t, lab, { name: 'pod-network', hostNetwork: false })
  t.match(podIp, /^10\.244\.1\./, 'from an address of its own')
}

async function hostNetwork(t: Test, lab: NodeLab): Promise<void> {
  t.equal(await probed(t, lab, { name: 'host-network', hostNetwork: true }), lab.machine.address)
}

async function gatewayKilled(t: Test, lab: NodeLab): Promise<void> {
  await lab.gateway.kill()
  await lab.gateway.start()
  await probed(t, lab, { name: 'after-the-kill', hostNetwork: false })
  await nodeReady(t, lab)
}

/** @returns the pod's address */
async function probed(t: Test, { server, binaries, strangersCa }: NodeLab, { name, hostNetwork: isHost }: { readonly name: string; readonly hostNetwork: boolean }): Promise<string> {
  const { exitCode, answers, podIp } = await probe(server, { name, hostNetwork: isHost, node: nodeName, kubectl: binaries.kubectl, strangersCa })
  t.equal(exitCode, 0)
  t.match(answers, {
    'dials': `${serviceAddress}:443`,
    'version': /"gitVersion": "v1\./,
    'who': `system:serviceaccount:${podNamespace}:${serviceAccount}`,
    'allowed': server.tenant,
    'in-cluster': server.tenant,
    'forbidden': /Forbidden.*failed with 1/s,
    'stranger': /certificate signed by unknown authority.*failed with 1/s,
  })
  return podIp
}

/** One request by curl, which verifies nothing: whether there is an answer is what is asked. */
function dial(machine: NodeLab['machine'], url: string): string {
  const exits: Readonly<Record<string, string>> = { 7: 'no connection', 28: 'no connection', 35: 'refused by TLS' }
  const answer = machine.exec('sh', ['-c', `curl --silent --insecure --max-time ${dialSeconds} '${url}' || echo "exit $?"`]).trim()
  const code = /^exit (\d+)$/.exec(answer)?.[1]
  return code === undefined ? answer : exits[code] ?? answer
}

interface Node {
  readonly status?: { readonly conditions?: readonly { readonly type: string; readonly status: string }[] }
}
