import { test } from 'tap'
import fc from 'fast-check'
import { announcementIn, encodeAnnouncement } from '../../../src/core/tunnel/announcement.ts'
import { encodeGateway, encodeSession, gatewayIn, sessionIn } from '../../../src/core/tunnel/presence-record.ts'

const text = fc.string()
const name = fc.stringMatching(/^[a-z0-9]{1,8}(\.[a-z0-9]{1,8})?$/)
/** As an agent's headers give it. */
const announced = fc.record({
  addresses: fc.array(fc.oneof(fc.ipV4(), fc.ipV6()), { maxLength: 4 }),
  ranges: fc.array(fc.constantFrom('10.244.0.0/16', '192.0.2.7', '2001:DB8::/32', '0.0.0.0/0'), { maxLength: 4 }),
  names: fc.array(fc.domain().map((domain) => `*.${domain}`), { maxLength: 4 }),
}).map((said) => announcementIn(Object.fromEntries(Object.entries(encodeAnnouncement(said)).map(([header, value]) => [header.toLowerCase(), value]))))

void test('what a gateway writes of itself and of its sessions, others read as it was', async (t) => {
  fc.assert(fc.property(fc.uint8Array({ minLength: 32, maxLength: 32 }), fc.string({ minLength: 1 }), fc.integer({ min: 1, max: 65_535 }), (publicKey, host, port) => {
    const gateway = { id: 'one', publicKey, at: { host, port } }
    t.same(gatewayIn('one', encodeGateway(gateway)), gateway)
  }), { numRuns: 200 })
  fc.assert(fc.property(name, name, text, fc.nat(), announced, fc.boolean(), (tenant, node, keyId, sinceMs, its, isNameRefused) => {
    if ('malformed' in its) throw new Error(its.malformed)
    const session = { id: 'a-1', tenant, node, keyId, sinceMs, announced: isNameRefused ? { ...its, isNameRefused } : its }
    t.same(sessionIn('a-1', encodeSession(session)), session)
  }), { numRuns: 200 })
})

void test('what no gateway has written is nothing', async (t) => {
  const key = Buffer.alloc(32).toString('base64')
  const gateways = ['', 'null', '1', '[]', '{}', '{"publicKey":"AA==","host":"h","port":1}', `{"publicKey":"${key}","host":"h"}`, `{"publicKey":"${key}","host":1,"port":1}`, `{"publicKey":"${'='.repeat(44)}","host":"h","port":1}`, `{"publicKey":"${key}","host":"","port":1}`, `{"publicKey":"${key}","host":"h","port":65536}`]
  for (const each of gateways) t.equal(gatewayIn('one', each), undefined, each)
  const sessions = ['', 'null', '{}', '{"tenant":"a","node":"n","keyId":"k","sinceMs":1}', '{"tenant":"a","node":"n","keyId":"k","sinceMs":1,"announced":{"addresses":[1],"ranges":[],"names":[]}}']
  for (const each of sessions) t.equal(sessionIn('one', each), undefined, each)
  const whole = { tenant: 'acme', node: 'worker-1', keyId: 'k', sinceMs: 1, announced: { addresses: ['192.0.2.1'], ranges: ['10.0.0.0/8'], names: ['a.example'] } }
  t.type(sessionIn('one', JSON.stringify(whole)), 'object')
  const { announced: its } = whole
  const wrong = [
    // It stands in the head that is sent to the other gateway.
    { ...whole, tenant: 'acme\r\nSluice-Tenant: globex' }, { ...whole, node: 'worker 1' },
    { ...whole, announced: { ...its, addresses: ['192.0.2.01'] } }, { ...whole, announced: { ...its, addresses: Array.from({ length: 65 }, (_, index) => `192.0.2.${index}`) } },
    { ...whole, announced: { ...its, ranges: ['10.0.0.0/99'] } }, { ...whole, announced: { ...its, ranges: ['10.0.0.1/8'] } },
    { ...whole, announced: { ...its, names: ['A.example'] } },
  ]
  for (const each of wrong) t.equal(sessionIn('one', JSON.stringify(each)), undefined, JSON.stringify(each))
})
