import fc from 'fast-check'
import { test } from 'tap'
import { ConnectHeadReader, connectHeadBytesMax, connectAnswerIn, connectTargetIn, encodeConnectAnswer, encodeConnectRequest, type HeadResult } from '../../../src/core/tunnel/connect-head.ts'

/** Pushed in pieces of so many bytes; what follows the head is put together again. */
function read(bytes: Uint8Array, pieceBytes: number): HeadResult | undefined {
  const reader = new ConnectHeadReader()
  for (let at = 0; at < bytes.length; at += pieceBytes) {
    const result = reader.push(bytes.subarray(at, at + pieceBytes))
    if (result?.kind === 'head') return { ...result, rest: Buffer.concat([result.rest, bytes.subarray(at + pieceBytes)]) }
    if (result !== undefined) return result
  }
  return undefined
}

void test('a request and its early data, however they are cut', (t) => {
  const early = Buffer.from([0x16, 0x03, 0x01, 0xff, 0x0d, 0x0a, 0x0d, 0x0a])
  const bytes = Buffer.concat([encodeConnectRequest('kubernetes:6443'), early])
  for (let pieceBytes = 1; pieceBytes <= bytes.length; pieceBytes++) {
    const result = read(bytes, pieceBytes)
    t.match(result, { kind: 'head', firstLine: 'CONNECT kubernetes:6443 HTTP/1.1', rest: early })
  }
  t.end()
})

const targets: Readonly<Record<string, string | undefined>> = {
  'CONNECT kubernetes:6443 HTTP/1.1': 'kubernetes:6443',
  'CONNECT 10.0.0.1:10250 HTTP/1.1': '10.0.0.1:10250',
  'CONNECT [2001:db8::1]:10250 HTTP/1.0': '[2001:db8::1]:10250',
  'GET / HTTP/1.1': undefined,
  'CONNECT kubernetes HTTP/1.1': undefined,
  'CONNECT kubernetes:6443 HTTP/2': undefined,
  'CONNECT  kubernetes:6443 HTTP/1.1': undefined,
  'connect kubernetes:6443 HTTP/1.1': undefined,
}

void test('the target of a CONNECT, and nothing of anything else', (t) => {
  for (const [line, target] of Object.entries(targets)) t.equal(connectTargetIn(line), target, line)
  t.end()
})

void test('an answer’s status', (t) => {
  for (const status of [200, 400, 403, 502, 503, 504] as const) {
    const result = new ConnectHeadReader().push(encodeConnectAnswer(status))
    t.equal(result?.kind === 'head' ? connectAnswerIn(result.firstLine)?.status : undefined, status)
  }
  for (const line of ['HTTP/2 200', 'HTTP/1.1 2000 OK', '200 OK', '']) t.equal(connectAnswerIn(line), undefined, line)
  t.end()
})

/** What kube-apiserver would log of an answer. */
function statusLine(answer: Uint8Array): string | undefined {
  const result = new ConnectHeadReader().push(answer)
  return result?.kind === 'head' && result.fields.length === 0 && result.rest.length === 0 ? result.firstLine : undefined
}

void test('an answer’s first line says why, in place of the status’s own phrase', (t) => {
  t.equal(Buffer.from(encodeConnectAnswer(200)).toString(), 'HTTP/1.1 200 OK\r\n\r\n')
  t.equal(statusLine(encodeConnectAnswer(504)), 'HTTP/1.1 504 Gateway Timeout')
  t.equal(statusLine(encodeConnectAnswer(502, 'worker-1: 10.0.0.1:10250: ECONNREFUSED')), 'HTTP/1.1 502 worker-1: 10.0.0.1:10250: ECONNREFUSED')
  t.same(connectAnswerIn('HTTP/1.1 403 not in reverse.allow'), { status: 403, reason: 'not in reverse.allow' })
  t.same(connectAnswerIn('HTTP/1.1 403'), { status: 403, reason: '' })
  t.same(connectAnswerIn('HTTP/1.1 403 '), { status: 403, reason: '' })
  t.end()
})

void test('no reason smuggles another line, or bytes behind the head; a long one is cut', (t) => {
  t.equal(statusLine(encodeConnectAnswer(502, 'a\r\nSet-Cookie: b\r\n\r\nHTTP/1.1 200 OK')), 'HTTP/1.1 502 a??Set-Cookie: b????HTTP/1.1 200 OK')
  t.equal(statusLine(encodeConnectAnswer(502, 'agent’s\u2028\0\u001b[31m\u010a')), 'HTTP/1.1 502 agent?s???[31m?', 'a character whose low byte is a line’s end among them')
  t.equal(statusLine(encodeConnectAnswer(502, 'x'.repeat(10_000))), `HTTP/1.1 502 ${'x'.repeat(200)}`)
  t.equal(connectAnswerIn(`HTTP/1.1 502 ${'x'.repeat(8_000)}`)?.reason.length, 200, 'nor does an agent’s get any longer')
  fc.assert(fc.property(fc.oneof(fc.uint8Array({ maxLength: 300 }).map((bytes) => Buffer.from(bytes).toString('latin1')), fc.array(fc.constantFrom('\r', '\n', 'HTTP/1.1 200 OK', ' '), { maxLength: 90 }).map((parts) => parts.join(''))), (reason) => {
    const answer = encodeConnectAnswer(403, reason)
    return connectAnswerIn(statusLine(answer) ?? '')?.status === 403 && answer.length <= 'HTTP/1.1 403 \r\n\r\n'.length + 200
  }), { numRuns: 1_000 })
  t.end()
})

void test('a request’s further lines come with it', (t) => {
  t.match(new ConnectHeadReader().push(encodeConnectRequest('10.0.0.1:10250', ['Sluice-Tenant: acme', 'Sluice-Session: 1-0.0'])), { kind: 'head', firstLine: 'CONNECT 10.0.0.1:10250 HTTP/1.1', fields: ['Host: 10.0.0.1:10250', 'Sluice-Tenant: acme', 'Sluice-Session: 1-0.0'] })
  t.end()
})

void test('a head without end, and one of bytes that are no text, are malformed', (t) => {
  t.match(read(Buffer.alloc(connectHeadBytesMax + 1, 'x'), 100), { kind: 'malformed' })
  t.match(read(Buffer.from('CONNECT a\u0000b:1 HTTP/1.1\r\n\r\n', 'latin1'), 100), { kind: 'malformed' })
  t.end()
})

void test('any bytes are a head, malformed or not whole yet, and the same however they are cut', (t) => {
  const bytes = fc.array(fc.oneof(fc.constant('\r\n\r\n'), fc.constant('\r\n'), fc.string({ maxLength: 20 })), { maxLength: 8 }).map((parts) => Buffer.from(parts.join(''), 'latin1'))
  fc.assert(fc.property(bytes, fc.integer({ min: 1, max: 30 }), (all, pieceBytes) => {
    const [whole, parts] = [read(all, Infinity), read(all, pieceBytes)]
    return JSON.stringify(whole) === JSON.stringify(parts) || (whole?.kind === 'head' && parts?.kind === 'head' && Buffer.from(whole.rest).equals(parts.rest) && whole.firstLine === parts.firstLine)
  }), { numRuns: 1_000 })
  t.end()
})
