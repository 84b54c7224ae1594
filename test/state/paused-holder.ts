// A process whose lease runs out while it is paused, whatever the store.

import { spawn } from 'node:child_process'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import type { Test } from 'tap'
import type { StateConfig } from '../../src/config/config.ts'
import { mirror } from '../../src/state/mirror.ts'
import type { Store } from '../../src/state/store.ts'
import { until } from '../support/sockets.ts'

/** @param state with absolute paths: of `store` */
export async function pausedHolder(t: Test, store: Store, state: StateConfig): Promise<void> {
  const holder = spawn(process.execPath, [fileURLToPath(new URL('holder.ts', import.meta.url)), JSON.stringify(state)], { stdio: ['ignore', 'pipe', 'inherit'] })
  t.teardown(() => holder.kill('SIGKILL'))
  const said: string[] = []
  createInterface({ input: holder.stdout }).on('line', (line) => said.push(line))
  const seen = new Map<string, string>()
  const watch = await mirror(store, 'held', { put: ({ key, value }) => seen.set(key, value), removed: (key) => seen.delete(key) })
  t.teardown(() => watch.close())
  await until(() => seen.has('held/first'))
  holder.kill('SIGSTOP')
  await until(() => !seen.has('held/first'))
  holder.kill('SIGCONT')
  await until(() => seen.has('held/again') && said.length >= 2)
  t.match(said, [/^lost: /, /^refused: the lease holds no more/])
  t.same((await store.list('held')).map(({ key }) => key), ['held/again'])
}
