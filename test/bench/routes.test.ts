import { test } from 'tap'
import { routesOf } from '../../bench/routes.ts'

const ports = { echo: 1001, source: 1002, sink: 1003 }

void test('the names that are used are in the middle, and all are different', async (t) => {
  const routes = routesOf(ports, 100_000)
  t.equal(new Set(routes.map(({ serverName }) => serverName)).size, 100_000)
  t.equal(new Set(routes.map(({ endpoint }) => endpoint)).size, 100_000)
  t.equal(routes.findIndex(({ serverName }) => serverName === 'echo.bench.example'), 49_998)
  t.match(routes[49_998], { endpoint: '127.0.0.1:1001' })
})

void test('without further names there are the three', async (t) => {
  t.same(routesOf(ports, 3).map(({ endpoint }) => endpoint), ['127.0.0.1:1001', '127.0.0.1:1002', '127.0.0.1:1003'])
})
