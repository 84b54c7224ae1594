import fc from 'fast-check'
import { test } from 'tap'
import { chooseGateways, type GatewayCondition } from '../../../src/core/tunnel/gateway-choice.ts'

const gateways = ['wss://a', 'wss://b', 'wss://c', 'wss://d']

function choose({ conditions = {}, ...options }: { told?: readonly string[]; configured?: readonly string[]; sessions?: number; node?: string; conditions?: Readonly<Record<string, GatewayCondition>> }): string[] {
  return [...chooseGateways({ told: [], configured: [], sessions: Infinity, node: 'node1', condition: (gateway) => conditions[gateway] ?? 'new', ...options })]
}

void test('all that are told; those of the configuration while nothing was told', async (t) => {
  t.same(new Set(choose({ configured: gateways })), new Set(gateways))
  t.same(new Set(choose({ told: ['wss://x', 'wss://y'], configured: gateways })), new Set(['wss://x', 'wss://y']))
})

void test('while all that were told fail, those of the configuration are tried too', async (t) => {
  const conditions = { 'wss://x': 'failing', 'wss://y': 'failing' } as const
  t.same(new Set(choose({ told: ['wss://x', 'wss://y'], configured: ['wss://a'], conditions })), new Set(['wss://x', 'wss://y', 'wss://a']))
  t.same(new Set(choose({ told: ['wss://x', 'wss://y'], configured: ['wss://a'], conditions: { ...conditions, 'wss://x': 'up' } })), new Set(['wss://x', 'wss://y']))
})

void test('one that fails or drains is replaced by the next, and kept until it is back', async (t) => {
  const [first = '', second = '', third = ''] = choose({ told: gateways })
  t.same(choose({ told: gateways, sessions: 2 }), [first, second])
  t.same(choose({ told: gateways, sessions: 2, conditions: { [first]: 'failing', [second]: 'up' } }), [first, second, third])
  t.same(choose({ told: gateways, sessions: 2, conditions: { [first]: 'up', [second]: 'up', [third]: 'up' } }), [first, second])
})

void test('nodes that want one session spread evenly, and few move when a gateway goes', async (t) => {
  const nodes = Array.from({ length: 4_000 }, (_, index) => `node${index}`)
  const before = new Map(nodes.map((node) => [node, choose({ told: gateways, sessions: 1, node })[0]]))
  for (const gateway of gateways) {
    const share = nodes.filter((node) => before.get(node) === gateway).length / nodes.length
    t.ok(share > 0.2 && share < 0.3, `${gateway} has ${share}`)
  }
  const moved = nodes.filter((node) => before.get(node) !== choose({ told: gateways.slice(1), sessions: 1, node })[0])
  t.ok(moved.every((node) => before.get(node) === gateways[0]))
})

void test('as many that can work as are wanted, if there are so many', async () => {
  const condition = fc.constantFrom<GatewayCondition>('new', 'up', 'failing')
  fc.assert(fc.property(fc.array(condition, { minLength: 1, maxLength: 8 }), fc.integer({ min: 1, max: 8 }), (states, sessions) => {
    const told = states.map((_, index) => `wss://g${index}`)
    const conditions = Object.fromEntries(told.map((gateway, index) => [gateway, states[index] ?? 'new']))
    const works = (gateway: string): boolean => conditions[gateway] === 'new' || conditions[gateway] === 'up'
    const chosen = choose({ told, sessions, conditions })
    return chosen.filter(works).length === Math.min(sessions, told.filter(works).length)
  }))
})
