// Which driver relays, and what is said where the Linux one can't be loaded: here its FFI package is missing.

import { registerHooks } from 'node:module'
import { test, type Test } from 'tap'
import { createRelay, type Relay } from '../../src/gateway/relay-driver.ts'
import { createLogger } from '../../src/observe/log.ts'
import { keptLines } from '../support/kept-lines.ts'

registerHooks({
  resolve: (specifier, context, next) => {
    if (specifier === 'koffi') throw new Error('koffi is not here')
    return next(specifier, context)
  },
})

async function relayWith(t: Test, driver: 'auto' | 'linux' | 'node', kernelLane: 'off' | 'auto' | 'always' = 'off'): Promise<Relay & { readonly lines: readonly Record<string, unknown>[] }> {
  const { lines, stream } = keptLines()
  const logger = createLogger({ stream })
  const relay = await createRelay({ driver, workers: 1, warmUpMs: 0, kernelLane, busyPollUs: 0 }, { logger, version: '0', sources: { snapshot: () => ({ version: 1, publishedAtMs: 0, tenants: 0, hostnames: 0 }) } })
  t.teardown(async () => {
    await relay.driver.stop()
    relay.observation.close()
  })
  return { ...relay, lines }
}

void test('where the FFI package can’t be loaded, auto takes the portable driver and says why', async (t) => {
  const { driver, lines } = await relayWith(t, 'auto')
  t.equal(driver.kind, 'node')
  const why = process.platform === 'linux' ? /koffi is not here/ : /this is /
  t.match(lines, [{ level: 'warn', msg: /the portable one relays/, why }])
})

void test('where it can’t be loaded, linux is refused with the reason', async (t) => {
  await t.rejects(relayWith(t, 'linux'), { code: 'DRIVER_UNAVAILABLE', message: /relay\.driver: linux does not run here: .+; expected auto or node/ })
})

void test('node takes the portable driver without a word', async (t) => {
  const { driver, lines } = await relayWith(t, 'node')
  t.equal(driver.kind, 'node')
  t.same(lines, [])
})

void test('without the Linux driver there is no kernel lane: auto does without, always is refused', async (t) => {
  const { driver } = await relayWith(t, 'node', 'auto')
  t.equal(driver.kind, 'node')
  await t.rejects(relayWith(t, 'node', 'always'), { code: 'DRIVER_UNAVAILABLE', message: /relay\.kernelLane: always does not run here: it is of the Linux driver; expected auto or off/ })
})
