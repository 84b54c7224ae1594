import { test } from 'tap'
import { describeProxyRefusal, type ProxyRefusal } from '../../../src/core/tunnel/proxy-refusal.ts'

const cases: readonly (readonly [refusal: Partial<ProxyRefusal>, expected: RegExp])[] = [
  [{ status: 407 }, /^407: it wants credentials/],
  [{ status: 407, sentCredentials: true }, /^407: it refuses the credentials/],
  [{ status: 407, fields: ['Proxy-Authenticate: Negotiate'] }, /it wants negotiate; only Basic/],
  [{ status: 407, fields: ['proxy-authenticate: NTLM', 'PROXY-AUTHENTICATE:Digest realm="a, basic b", qop="auth"'] }, /it wants ntlm or digest; only Basic/],
  [{ status: 407, fields: ['Proxy-Authenticate: Digest realm="a", Basic realm="b"'], sentCredentials: true }, /it refuses the credentials/],
  [{ status: 407, fields: ['Proxy-Authenticate: BASIC realm="a"'] }, /it wants credentials/],
  [{ status: 403 }, /^403: it does not allow gateway:6443/],
  [{ status: 405 }, /^405: it does not take CONNECT/],
  [{ status: 502 }, /^502: it can't reach gateway:6443/],
  [{ status: 504 }, /^504: it had no answer/],
  [{ status: 302 }, /^302 in answer to CONNECT gateway:6443/],
]

void test('a proxy’s refusal in words', (t) => {
  for (const [refusal, expected] of cases) t.match(describeProxyRefusal({ status: 407, fields: [], target: 'gateway:6443', sentCredentials: false, ...refusal }), expected)
  t.end()
})
