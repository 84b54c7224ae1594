import { test } from 'tap'
import fc from 'fast-check'
import { encodeGateway, encodeSession, gatewayIn, sessionIn } from '../../../src/core/tunnel/presence-record.ts'

const text = fc.string()
const texts = fc.array(text, { maxLength: 4 })

void test('what a gateway writes of itself and of its sessions, others read as it was', async (t) => {
  fc.assert(fc.property(fc.uint8Array({ minLength: 32, maxLength: 32 }), text, fc.integer({ min: 1, max: 65_535 }), (publicKey, host, port) => {
    const gateway = { id: 'one', publicKey, at: { host, port } }
    t.same(gatewayIn('one', encodeGateway(gateway)), gateway)
  }), { numRuns: 200 })
  fc.assert(fc.property(text, text, text, fc.nat(), texts, texts, texts, (tenant, node, keyId, sinceMs, addresses, ranges, names) => {
    const session = { id: 'a-1', tenant, node, keyId, sinceMs, announced: { addresses, ranges, names } }
    t.same(sessionIn('a-1', encodeSession(session)), session)
  }), { numRuns: 200 })
})

void test('what no gateway has written is nothing', async (t) => {
  const key = Buffer.alloc(32).toString('base64')
  const gateways = ['', 'null', '1', '[]', '{}', '{"publicKey":"AA==","host":"h","port":1}', `{"publicKey":"${key}","host":"h"}`, `{"publicKey":"${key}","host":1,"port":1}`, `{"publicKey":"${'='.repeat(44)}","host":"h","port":1}`]
  for (const each of gateways) t.equal(gatewayIn('one', each), undefined, each)
  const sessions = ['', 'null', '{}', '{"tenant":"a","node":"n","keyId":"k","sinceMs":1}', '{"tenant":"a","node":"n","keyId":"k","sinceMs":1,"announced":{"addresses":[1],"ranges":[],"names":[]}}']
  for (const each of sessions) t.equal(sessionIn('one', each), undefined, each)
})
