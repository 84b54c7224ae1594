// Endpoints in metrics and log: an address that falls as a whole is a line, and lines have a budget.

import { Registry } from 'prom-client'
import { test } from 'tap'
import { EndpointMetrics, type EndpointTransition } from '../../src/observe/endpoint-metrics.ts'
import { createLogger } from '../../src/observe/log.ts'
import { keptLines } from '../support/kept-lines.ts'

const figures = { ready: 5, draining: 1, down: 2, startingSlowly: 3, ejected: 8, targets: 4, tenantsInPanic: 1 }

function observed(): { readonly metrics: EndpointMetrics; readonly lines: Readonly<Record<string, unknown>>[]; readonly text: () => Promise<string> } {
  const registry = new Registry()
  const { lines, stream } = keptLines()
  const logger = createLogger({ stream })
  return { metrics: new EndpointMetrics({ registry, logger, figures: () => figures, checks: () => ({ unchecked: 6, waiting: 7 }) }), lines, text: async () => await registry.metrics() }
}

function transition(port: number, { address = '10.1.0.11', to = 'down', cause = 'checks' }: Partial<EndpointTransition> = {}): EndpointTransition {
  return { endpoint: `${address}:${port}`, address, tenants: 2, to, cause, why: 'connection refused' }
}

void test('states, checks and transitions are counted, with every series from the start', async (t) => {
  const { metrics, text } = observed()
  metrics.checksMade('tcp', 'passed', 7)
  metrics.clients('answer', 2)
  metrics.changed([transition(1), transition(2, { to: 'ready', cause: 'node' })])
  metrics.threadDied(new Error('a bug'))
  metrics.ejected({ began: [{ tenant: 'acme', endpoint: '10.1.0.11:1', failures: 5, forMs: 30_000 }], refused: 9 })
  const all = await text()
  for (const line of [
    'sluice_endpoints{state="ready"} 5', 'sluice_endpoints{state="draining"} 1', 'sluice_endpoints{state="down"} 2', 'sluice_endpoints_starting_slowly 3', 'sluice_endpoint_targets 4',
    'sluice_endpoint_targets_unchecked 6', 'sluice_endpoint_checks_waiting 7', 'sluice_tenants_in_panic 1', 'sluice_endpoint_checks_total{kind="tcp",result="passed"} 7', 'sluice_endpoint_checks_total{kind="readyz",result="void"} 0',
    'sluice_endpoint_transitions_total{to="down",cause="checks"} 1', 'sluice_endpoint_transitions_total{to="ready",cause="node"} 1', 'sluice_endpoint_transitions_total{to="ready",cause="checks"} 0',
    'sluice_endpoint_client_marks_total{how="answer"} 2', 'sluice_endpoint_client_marks_total{how="dial"} 0', 'sluice_endpoint_client_marks_total{how="connected"} 0', 'sluice_health_thread_restarts_total 1',
    'sluice_endpoints_ejected 8', 'sluice_endpoint_ejections_total 1', 'sluice_endpoint_ejections_refused_total 9',
  ]) t.ok(all.includes(`${line}\n`), line)
})

void test('a few of an address have a line each, many one together', async (t) => {
  const { metrics, lines } = observed()
  metrics.changed([transition(1), transition(2), transition(1, { address: '10.1.0.12', to: 'ready' }), ...Array.from({ length: 9 }, (_, port) => transition(port, { address: '10.1.0.13' }))])
  t.match(lines, [
    { level: 'warn', endpoint: '10.1.0.11:1', tenants: 2, why: 'connection refused', msg: 'endpoint down: it gets no new connection' },
    { endpoint: '10.1.0.11:2' },
    { level: 'info', endpoint: '10.1.0.12:1', msg: 'endpoint ready' },
    { level: 'warn', address: '10.1.0.13', endpoints: 9, tenants: 18, first: ['10.1.0.13:0', '10.1.0.13:1', '10.1.0.13:2', '10.1.0.13:3', '10.1.0.13:4'], why: 'connection refused' },
  ])
  t.equal(lines.length, 4)
})

void test('one that is ejected, and is tried again, is a line with whose it is', async (t) => {
  const { metrics, lines } = observed()
  metrics.ejected({ began: [{ tenant: 'acme', endpoint: '10.1.0.11:1', failures: 5, forMs: 30_000 }], refused: 0 })
  metrics.ejected({ began: [], refused: 1 })
  metrics.readmitted([{ tenant: 'acme', endpoint: '10.1.0.11:1' }])
  t.match(lines, [
    { level: 'warn', tenant: 'acme', endpoint: '10.1.0.11:1', failures: 5, forMs: 30_000, msg: 'endpoint ejected: dials of clients failed there in a row' },
    { level: 'info', tenant: 'acme', endpoint: '10.1.0.11:1', msg: 'an endpoint that was ejected is tried again' },
  ])
  t.equal(lines.length, 2)
})

void test('lines of falls have a budget, which leaves room for those of returns', async (t) => {
  const { metrics, lines, text } = observed()
  for (let address = 0; address < 250; address++) metrics.changed([transition(1, { address: `10.1.0.${address}` })])
  metrics.changed([transition(1, { to: 'ready' })])
  t.ok(lines.length >= 51 && lines.length <= 60, String(lines.length))
  t.equal(lines.at(-1)?.['msg'], 'endpoint ready')
  t.match(await text(), /sluice_endpoint_lines_suppressed_total (1[89]\d|200)\n/)
})

void test('tenants in panic are named, the first ones', async (t) => {
  const { metrics, lines } = observed()
  metrics.panic({ began: { count: 12, tenants: ['acme', 'globex'] }, ended: { count: 0, tenants: [] } })
  metrics.panic({ began: { count: 0, tenants: [] }, ended: { count: 1, tenants: ['acme'] } })
  t.match(lines, [{ level: 'error', count: 12, tenants: ['acme', 'globex'] }, { level: 'info', count: 1 }])
})
