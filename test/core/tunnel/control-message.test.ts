import fc from 'fast-check'
import { test } from 'tap'
import { controlBytesMax, encodeControlMessage, gatewaysToldMax, gatewayUrl, parseControlMessage } from '../../../src/core/tunnel/control-message.ts'

void test('what was encoded is parsed', async (t) => {
  const message = { gateways: ['wss://a.example.com:6443', 'wss://[2001:db8::1]:6443', 'wss://b.example.com'] }
  t.same(parseControlMessage(encodeControlMessage(message)), message)
})

void test('a grant of any bytes crosses', async () => {
  fc.assert(fc.property(fc.uint8Array({ minLength: 1, maxLength: 278 }), fc.uint8Array({ minLength: 32, maxLength: 32 }), fc.integer({ min: 0 }), (descriptor, key, clockMs) => {
    const { lane } = parseControlMessage(encodeControlMessage({ lane: { descriptor, key, clockMs } })) ?? {}
    return lane !== undefined && Buffer.from(lane.descriptor).equals(descriptor) && Buffer.from(lane.key).equals(key) && lane.clockMs === clockMs
  }))
})

void test('what of an announcement does not hold, each with the reason; none: all holds', async (t) => {
  const refused = [{ announced: '10.0.0.0/8', why: 'worker-1 has it' }, { announced: '169.254.0.0/16', why: 'link-local can\'t be announced' }]
  t.same(parseControlMessage(encodeControlMessage({ refused })), { refused })
  t.same(parseControlMessage('{"refused":[]}'), { refused: [] })
  t.same(parseControlMessage('{"refused":[{"announced":"a","why":"b","since":7}]}'), { refused: [{ announced: 'a', why: 'b' }] }, 'facts of a later version')
  for (const text of ['{"refused":{}}', '{"refused":null}', '{"refused":["10.0.0.0/8"]}', '{"refused":[null]}', '{"refused":[{"announced":"10.0.0.0/8"}]}', '{"refused":[{"announced":7,"why":"x"}]}', '{"refused":[{"announced":"x","why":null}]}']) t.equal(parseControlMessage(text), undefined, text)
})

void test('however much is refused, the message fits, both ways', async (t) => {
  const refused = Array.from({ length: 200 }, () => ({ announced: `${'n'.repeat(249)}.com`, why: 'y'.repeat(1_000) }))
  const text = encodeControlMessage({ refused })
  t.ok(text.length <= controlBytesMax)
  t.equal(parseControlMessage(text)?.refused?.length, 32)
  t.equal(parseControlMessage(JSON.stringify({ refused: refused.slice(0, 10).map(({ announced, why }) => ({ announced, why })) }))?.refused?.every(({ announced, why }) => announced.length <= 160 && why.length <= 160), true)
})

void test('facts of a later version are passed over', async (t) => {
  t.same(parseControlMessage('{"weather":"fine"}'), {})
})

void test('what is no message', async (t) => {
  for (const text of ['', 'null', '[]', '7', '"x"', '{', '{"gateways":"wss://a"}', '{"gateways":[7]}', '{"gateways":["https://a"]}', '{"gateways":["wss://a/path"]}', '{"gateways":["wss://user@a"]}', '{"lane":{}}', '{"lane":{"descriptor":"AA","key":"AA","clockMs":1}}', '{"lane":{"descriptor":"!","key":"AA","clockMs":1}}', `{"gateways":[],"x":"${'x'.repeat(controlBytesMax)}"}`]) {
    t.equal(parseControlMessage(text), undefined, text.slice(0, 40))
  }
})

void test('a list is bounded, and names each once', async (t) => {
  const many = Array.from({ length: gatewaysToldMax + 9 }, (_, index) => `wss://g${index}`)
  t.equal(parseControlMessage(encodeControlMessage({ gateways: many }))?.gateways?.length, gatewaysToldMax)
  t.same(parseControlMessage('{"gateways":["wss://A:443","wss://a","wss://a/"]}'), { gateways: ['wss://a'] })
})

void test('nothing that is read makes it throw', async () => {
  fc.assert(fc.property(fc.oneof(fc.string(), fc.json()), (text) => {
    const parsed = parseControlMessage(text)
    return parsed === undefined || (parsed.gateways ?? []).every((url) => gatewayUrl(url) === url)
  }))
})
