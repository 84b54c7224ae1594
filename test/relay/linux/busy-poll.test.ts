import { test } from '../../support/linux-only.ts'
import { buildClientHello } from '../../core/tls/hello-builder.ts'
import { endpoint, tenant } from '../../support/config.ts'
import { startLinuxRelay } from '../../support/linux-driver.ts'
import { dial, readBytes, startEcho, until } from '../../support/sockets.ts'

const hello = Buffer.from(buildClientHello({ serverName: 'acme.example.test' }))

for (const kernelLane of ['off', 'auto'] as const) {
  void test(`a thread that polls before it sleeps relays as any other, with the kernel lane at ${kernelLane}`, async (t) => {
    const echo = await startEcho(t)
    const relay = await startLinuxRelay(t, { busyPollUs: 1_000, kernelLane, tenants: [tenant('acme', [endpoint(echo.port)])] })
    const client = await dial(t, relay.port, hello)
    await readBytes(client, hello.length)
    for (let number = 0; number < 100; number++) {
      client.write(`ping ${number}`)
      t.equal((await readBytes(client, `ping ${number}`.length)).toString(), `ping ${number}`)
    }
    const { hit = 0, miss = 0, shared = 0 } = relay.driver.counters().busyPolls ?? {}
    t.ok(hit + miss + shared > 0)
    client.end()
    t.match(await relay.record(0), { reason: 'completed', bytesFromDownstream: hello.length + 690 })
  })
}

void test('a thread that is not to poll never does', async (t) => {
  const echo = await startEcho(t)
  const relay = await startLinuxRelay(t, { tenants: [tenant('acme', [endpoint(echo.port)])] })
  const client = await dial(t, relay.port, hello)
  await readBytes(client, hello.length)
  await until(() => relay.driver.counters().openConnections === 1)
  t.same(relay.driver.counters().busyPolls, { hit: 0, miss: 0, shared: 0 })
})
