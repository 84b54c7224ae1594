// Who answers: kubectl's commands by name, against the right API server, the wrong one, and none.

import type { Test } from 'tap'
import { adminRequest, configMapPath, type Edge, namespace } from './edge.ts'
import { tenantNames } from './lab.ts'

const requests = 300
const requestsAtOnce = 30
const proxyAddress = /127\.0\.0\.1:\d+/

/** The ConfigMap that says whose API server this is. */
const identity = 'identity'

export async function getAndApply(t: Test, { kubectl }: Edge): Promise<void> {
  for (const tenant of tenantNames) {
    const manifest = (revision: string): unknown => ({
      apiVersion: 'v1',
      kind: 'List',
      items: [
        { apiVersion: 'v1', kind: 'Namespace', metadata: { name: namespace } },
        { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: identity, namespace }, data: { tenant, revision } },
      ],
    })
    t.match(await kubectl[tenant].apply(manifest('1'), 'apply', '--filename=-'), /configmap\/identity created/)
    t.match(await kubectl[tenant].apply(manifest('2'), 'apply', '--filename=-'), /configmap\/identity configured/)
    const serverSide = ['apply', '--server-side', '--force-conflicts', '--filename=-']
    t.match(await kubectl[tenant].apply(manifest('3'), ...serverSide), /configmap\/identity serverside-applied/)
    const stored: unknown = JSON.parse(await kubectl[tenant].run('get', 'configmap', identity, `--namespace=${namespace}`, '--output=json'))
    t.match(stored, { data: { tenant, revision: '3' } }, `${tenant} has what was applied`)
  }
}

export async function certificates(t: Test, { kubectl, lab }: Edge): Promise<void> {
  for (const tenant of tenantNames) {
    const review: unknown = JSON.parse(await kubectl[tenant].run('auth', 'whoami', '--output=json'))
    t.match(review, { status: { userInfo: { username: lab.tenants[tenant].adminName, groups: ['system:masters'] } } })
  }
}

export async function wrongTenant(t: Test, { kubectlFor, lab }: Edge): Promise<void> {
  for (const tenant of tenantNames) {
    for (const other of tenantNames.filter(name => name !== tenant)) {
      const astray = await kubectlFor(lab.tenants[tenant], { serverName: lab.tenants[other].hostname })
      const { code, stderr } = await astray.try('get', '--raw=/version')
      t.equal(code, 1)
      t.match(stderr, /certificate signed by unknown authority/, `${other} answers, whom the kubeconfig of ${tenant} does not trust`)
    }
  }
}

export async function manyAtOnce(t: Test, { gateway, lab }: Edge): Promise<void> {
  let next = 0
  const answers = new Map<string, number>()
  const work = async (): Promise<void> => {
    for (let index = next++; index < requests; index = next++) {
      const tenant = tenantNames[index % tenantNames.length] ?? 'acme'
      const { status, body } = await adminRequest(lab.tenants[tenant], { port: gateway.port, path: configMapPath(identity) })
      const { data }: { data?: { tenant?: string } } = JSON.parse(body)
      const answer = `asked for ${tenant}: ${status} from ${data?.tenant ?? body}`
      answers.set(answer, (answers.get(answer) ?? 0) + 1)
    }
  }
  await Promise.all(Array.from({ length: requestsAtOnce }, work))
  const expected = tenantNames.map(tenant => [`asked for ${tenant}: 200 from ${tenant}`, requests / tenantNames.length] as const)
  t.strictSame(Object.fromEntries(answers), Object.fromEntries(expected))
}

export async function wholeAnswers(t: Test, { kubectl, kubectlFor, lab }: Edge): Promise<void> {
  const direct = await kubectlFor(lab.tenants.acme, { port: lab.tenants.acme.port })
  const expected = await direct.run('get', '--raw=/openapi/v2')
  t.ok(expected.length > 1_000_000, 'the API description is over a megabyte')
  t.ok(await kubectl.acme.run('get', '--raw=/openapi/v2') === expected, 'and is the same with the gateway and without')
}

export async function unknownName(t: Test, { kubectlFor, lab }: Edge): Promise<void> {
  const stranger = await kubectlFor(lab.tenants.acme, { serverName: 'nobody.k8s.example.test' })
  const { code, stderr } = await stranger.try('get', 'namespaces')
  t.equal(code, 1)
  t.match(stderr, /remote error: tls: unrecognized name/)
}

export async function proxy(t: Test, { kubectl }: Edge): Promise<void> {
  const running = kubectl.globex.start('proxy', '--port=0')
  try {
    const line = await running.waitForLine(text => proxyAddress.test(text), 'address')
    const url = (path: string): string => `http://${proxyAddress.exec(line)?.[0] ?? ''}${path}`

    const read = await fetch(url(configMapPath(identity)))
    t.match(await read.json(), { data: { tenant: 'globex' } }, 'reads')

    const stream = await fetch(url(`${configMapPath('')}?watch=true&fieldSelector=metadata.name%3Dvia-proxy`))
    const events = stream.body?.pipeThrough(new TextDecoderStream()).getReader()
    const created = await fetch(url(configMapPath('')), {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ metadata: { name: 'via-proxy' } }),
    })
    t.equal(created.status, 201, 'writes')
    t.match((await events?.read())?.value, /"ADDED"/, 'streams')
    await events?.cancel()
  } finally {
    await running.stop()
  }
}
