// The build of the Traefik peer, with a Go that does what it is told to: what comes of it is what the bench reports.

import { spawnSync } from 'node:child_process'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { test, type Test } from 'tap'
import { findTraefik } from '../../bench/peers/traefik.ts'
import type { PeerFacts } from '../../bench/peers/peer.ts'

const mainFile = fileURLToPath(new URL('../../bench/peers/traefik/main.ts', import.meta.url))
const facts: PeerFacts = { directory: '/nowhere', listenPort: 20_001, adminPort: 20_002, connectionsMax: 77, routes: [] }

/** The executable's place follows -o. */
const builds = `#!/bin/sh
while [ "$1" != -o ]; do shift; done
echo "built with cgo $CGO_ENABLED" >"$2"
`
const fails = `#!/bin/sh
echo 'go: downloading example.test/one v1.0.0' >&2
echo 'example.test/one' >&2
echo '# example.test/two' >&2
echo 'main.go:3:2: example.test/three: no such module' >&2
exit 1
`

function setUp(t: Test) {
  const directory = t.testdir({ path: {}, cache: {} })
  const [path, cache] = [join(directory, 'path'), join(directory, 'cache')]
  return {
    cache,
    /** Absent: there is none. */
    build: (go?: string) => {
      if (go !== undefined) writeFileSync(join(path, 'go'), go, { mode: 0o755 })
      return spawnSync(process.execPath, [mainFile, cache], { encoding: 'utf8', timeout: 30_000, env: { PATH: path } })
    },
  }
}

void test('what is built is found, runs Go code on one thread, and is not built again', async (t) => {
  const { cache, build } = setUp(t)
  t.match(findTraefik(cache), /^not built/)
  t.match(build(builds), { status: 0, stderr: /Traefik 3\.7\.13 is built/ })
  const found = findTraefik(cache)
  if (typeof found === 'string') throw new Error(found)
  t.equal(found.version, '3.7.13')
  const { executable, environment } = found.launch(facts)
  t.equal(readFileSync(executable, 'utf8'), 'built with cgo 0\n')
  t.same(environment, { GOMAXPROCS: '1' })
  t.match(build(fails), { status: 0, stderr: /is there/ })
})

void test('a build that fails is not found, with the reason, until one succeeds', async (t) => {
  const { cache, build } = setUp(t)
  t.match(build(fails), { status: 1, stderr: /does not build here: main\.go:3:2: example\.test\/three: no such module/ })
  t.equal(findTraefik(cache), 'npm run bench:traefik has failed: main.go:3:2: example.test/three: no such module')
  t.match(build(builds), { status: 0 })
  t.type(findTraefik(cache), 'object')
})

void test('without Go it says so', async (t) => {
  const { cache, build } = setUp(t)
  t.match(build(), { status: 1, stderr: /takes Go to build/ })
  t.match(findTraefik(cache), /^not built/)
})
