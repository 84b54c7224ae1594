import { availableParallelism } from 'node:os'
import { test } from 'tap'
import { parseOptions, usage } from '../../bench/options.ts'

const targets = ['direct', 'sluice', 'haproxy']

void test('everything is measured by default', async (t) => {
  const options = parseOptions([], targets)
  t.same(options?.modes, ['echo', 'paced', 'connect', 'download', 'upload', 'idle'])
  t.same(options?.targets, targets)
  t.same(options?.connections, [1, 64, 2000])
  t.same(options?.hostnames, [3])
})

void test('--tiny is only a default', async (t) => {
  const options = parseOptions(['--tiny', '--runs', '3', '--connections', '5'], targets)
  t.match(options, { runs: 3, connections: [5], durationMs: 100 })
})

void test('lists and numbers are taken', async (t) => {
  const options = parseOptions(['--modes', 'idle,echo', '--peers=haproxy', '--duration', '0.5', '--rate', '20000', '--json', 'x.json', '--hostnames', '10,1000,10'], targets)
  t.match(options, { modes: ['idle', 'echo'], targets: ['haproxy'], durationMs: 500, warmUpMs: 125, requestsPerSecond: 20_000, jsonFile: 'x.json', hostnames: [10, 1000] })
})

void test('what is wrong is said', async (t) => {
  const cases: [string[], RegExp][] = [
    [['--runs', '0'], /--runs is "0"; expected a number from 1/],
    [['--runs', '1.5'], /--runs is "1.5"; expected a whole number/],
    [['--runs', ''], /--runs is ""/],
    [['--connections', '1,many'], /--connections is "many"/],
    [['--hostnames', '10,2'], /--hostnames is "2"; expected a number from 3/],
    [['--relay-cores', Array.from({ length: availableParallelism() }, (_, core) => core).join(',')], /--relay-cores is .* a core is left for the load/],
    [['--modes', 'eco'], /--modes: there is no "eco"; there are echo, paced/],
    [['--peers', 'sluice,envoy'], /--peers: there is no "envoy"; there are direct, sluice, haproxy/],
    [['--fast'], /Unknown option '--fast'/],
    [['echo'], /Unexpected argument 'echo'/],
  ]
  for (const [args, expected] of cases) {
    t.throws(() => parseOptions(args, targets), { code: 'OPTIONS', message: expected }, args.join(' '))
  }
})

void test('help names every option', async (t) => {
  t.equal(parseOptions(['--help'], targets), undefined)
  const text = usage(targets)
  for (const option of ['runs', 'duration', 'modes', 'peers', 'connections', 'rate', 'idle-connections', 'hostnames', 'threads', 'relay-cores', 'cpu-latency', 'tiny', 'json', 'markdown']) {
    t.match(text, `--${option}`)
  }
})
