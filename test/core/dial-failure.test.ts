// Which errors of the system speak of the endpoint that was dialled, and which of ourselves.

import { test } from 'tap'
import { dialFailureOf, isOwnFault } from '../../src/core/dial-failure.ts'

void test('what is used up here, and a resolver that does not answer, blame no endpoint', async (t) => {
  for (const code of ['EMFILE', 'ENFILE', 'ENOBUFS', 'ENOMEM', 'EADDRNOTAVAIL', 'EAGAIN', 'EAI_AGAIN', 'EAI_FAIL', 'EAI_MEMORY']) {
    t.same([isOwnFault(code), dialFailureOf(code)], [true, 'error'], code)
  }
})

void test('all else does, whoever on the way has said it', async (t) => {
  for (const [code, failure] of [
    ['ECONNREFUSED', 'refused'],
    ['ECONNRESET', 'refused'],
    ['ETIMEDOUT', 'timeout'],
    ['EHOSTUNREACH', 'unreachable'],
    ['ENETUNREACH', 'unreachable'],
    ['EHOSTDOWN', 'unreachable'],
    ['EACCES', 'unreachable'],
    ['EPERM', 'unreachable'],
    ['EPROTO', 'unreachable'],
    ['EAFNOSUPPORT', 'unreachable'],
    ['ENOTFOUND', 'unreachable'],
  ] as const) t.same([isOwnFault(code), dialFailureOf(code)], [false, failure], code)
})

void test('an error that the system has no name for blames no endpoint of a dial, and a check has failed all the same', async (t) => {
  t.same([isOwnFault(undefined), dialFailureOf(undefined)], [false, 'error'])
  t.equal(isOwnFault('ERR_TLS_CERT_ALTNAME_INVALID'), false)
})
