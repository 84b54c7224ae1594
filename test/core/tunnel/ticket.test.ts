import { createHmac, randomBytes, timingSafeEqual } from 'node:crypto'
import fc from 'fast-check'
import { test } from 'tap'
import { issueGrant, judgeTicket, makeTicket, ticketLimits, type JudgedTicket, type Mac } from '../../../src/core/tunnel/ticket.ts'

const hmac: Mac = (key, ...parts) => {
  const its = createHmac('sha256', key)
  for (const part of parts) its.update(part)
  return its.digest()
}
const secret = Buffer.alloc(32, 7)
const identity = '0123456789abcdef0123456789abcdef'
const nowMs = 1_764_000_000_000

const judge = (ticket: Uint8Array, atMs = nowMs, by: Uint8Array = secret): JudgedTicket => judgeTicket(ticket, { secret: by, nowMs: atMs, mac: hmac, isEqual: timingSafeEqual })
const ticket = (tenant = 'acme', madeMs = nowMs, grantedMs = nowMs): Uint8Array => makeTicket(issueGrant({ tenant, identity, nowMs: grantedMs }, secret, hmac), { nowMs: madeMs, nonce: randomBytes(8) }, hmac)

void test('a ticket tells tenant and node', async (t) => {
  t.match(judge(ticket()), { kind: 'good', tenant: 'acme', identity })
  t.match(judge(ticket('a'.repeat(253))), { kind: 'good', tenant: 'a'.repeat(253) })
})

void test('a ticket is good for half a minute around its time, and a grant for its life', async (t) => {
  t.equal(judge(ticket(), nowMs + ticketLimits.skewMsMax).kind, 'good')
  t.match(judge(ticket(), nowMs + ticketLimits.skewMsMax + 1), { kind: 'refused', detail: 'a ticket of -30 s from now' })
  t.match(judge(ticket('acme', nowMs + 40_000)), { kind: 'refused', detail: 'a ticket of 40 s from now' })
  t.match(judge(ticket('acme', nowMs, nowMs - ticketLimits.grantLifeMs)), { kind: 'refused', detail: 'a grant that has expired' })
})

void test('a ticket that was changed anywhere, or granted elsewhere, is none', async (t) => {
  const good = ticket()
  for (let at = 0; at < good.length; at++) {
    const changed = good.slice()
    changed[at] = (changed[at] ?? 0) ^ 0x40
    t.equal(judge(changed).kind, 'refused', `byte ${at}`)
  }
  t.equal(judge(good, nowMs, Buffer.alloc(32, 8)).kind, 'refused')
})

void test('nothing that is judged makes it throw', async () => {
  fc.assert(fc.property(fc.uint8Array({ maxLength: 400 }), (bytes) => judge(bytes).kind === 'refused'))
})
