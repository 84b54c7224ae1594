import { test } from 'tap'
import { nodeInCertificate, type CertificateFacts } from '../../../src/core/identity/certificate.ts'

const facts: CertificateFacts = {
  organizations: ['acme'], commonNames: ['worker-1'], extendedKeyUsages: ['1.3.6.1.5.5.7.3.1', '1.3.6.1.5.5.7.3.2'], validFromMs: 1_000, validToMs: 2_000,
}

void test('the tenant is the organization, the node’s name the common name', (t) => {
  for (const nowMs of [1_000, 2_000]) t.same(nodeInCertificate(facts, nowMs), { tenant: 'acme', nodeName: 'worker-1' })
  t.end()
})

const wrongs: readonly (readonly [what: string, facts: Partial<CertificateFacts>, nowMs: number, wrong: RegExp])[] = [
  ['too early', {}, 999, /^it is not valid yet$/],
  ['too late', {}, 2_001, /^it has expired$/],
  ['no usage', { extendedKeyUsages: [] }, 1_500, /^its extendedKeyUsage has no clientAuth$/],
  ['the usage of a server', { extendedKeyUsages: ['1.3.6.1.5.5.7.3.1'] }, 1_500, /has no clientAuth/],
  ['any usage', { extendedKeyUsages: ['2.5.29.37.0'] }, 1_500, /has no clientAuth/],
  ['no organization', { organizations: [] }, 1_500, /^its subject has no O, the tenant$/],
  ['two organizations', { organizations: ['acme', 'globex'] }, 1_500, /^its subject has more than one O, the tenant$/],
  ['an organization that is no tenant’s name', { organizations: ['system:nodes'] }, 1_500, /^its subject’s O, the tenant, is no name: "system:nodes"$/],
  ['no common name', { commonNames: [] }, 1_500, /has no CN, the node’s name/],
  ['two common names', { commonNames: ['a', 'b'] }, 1_500, /more than one CN/],
  ['a common name that is no node’s', { commonNames: ['Worker 1\n'.padEnd(100, 'x')] }, 1_500, /^its subject’s CN, the node’s name, is no name: "Worker 1\\nx{55}"$/],
  ['an empty one', { commonNames: [''] }, 1_500, /is no name: ""/],
]

void test('what is wrong with a certificate is said', (t) => {
  for (const [what, changed, nowMs, wrong] of wrongs) {
    const verdict = nodeInCertificate({ ...facts, ...changed }, nowMs)
    t.match('wrong' in verdict ? verdict.wrong : undefined, wrong, what)
  }
  t.end()
})
