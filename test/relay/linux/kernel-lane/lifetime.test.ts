// What the lane has in the kernel lives as long as the process, and says why where it can't be had.

import { test } from '../../../support/kernel-lane.ts'
import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { readdirSync, readFileSync } from 'node:fs'
import { createInterface } from 'node:readline'
import { allocate, bpf } from '../../../../src/relay/linux/libc.ts'
import { laneDescriptorsMax } from '../../../../src/relay/linux/kernel-lane/lane-maps.ts'
import { until } from '../../../support/sockets.ts'

const holder = new URL('../../../support/lane-holder.ts', import.meta.url).pathname
/** enum bpf_cmd in <linux/bpf.h>. */
const nextIdOf = { prog: 11, map: 12 } as const

/** Ids of the process's programs and maps, as its descriptors tell. */
function idsOf(pid: number): { readonly kind: 'prog' | 'map'; readonly id: number }[] {
  return readdirSync(`/proc/${pid}/fdinfo`).flatMap((fd) => {
    const found = /^(prog|map)_id:\s*(\d+)$/m.exec(readFileSync(`/proc/${pid}/fdinfo/${fd}`, 'utf8'))
    return found === null ? [] : [{ kind: found[1] === 'prog' ? 'prog' as const : 'map' as const, id: Number(found[2]) }]
  })
}

const attributes = allocate(64)

function exists({ kind, id }: { readonly kind: 'prog' | 'map'; readonly id: number }): boolean {
  const view = new DataView(attributes.bytes.buffer)
  attributes.bytes.fill(0)
  view.setUint32(0, id - 1, true)
  return bpf(nextIdOf[kind], attributes.address, 64) === 0 && view.getUint32(4, true) === id
}

void test('maps and program are gone when the process is killed, with connections in the lane', async (t) => {
  const child = spawn(process.execPath, [holder], { stdio: ['ignore', 'pipe', 'inherit'] })
  t.teardown(() => child.kill('SIGKILL'))
  const [line] = await once(createInterface(child.stdout), 'line') as [string]
  t.equal(line, 'in the lane')
  const ids = idsOf(child.pid ?? 0)
  t.same([...new Set(ids.map(({ kind }) => kind))].sort(), ['map', 'prog'])
  t.equal(ids.length, laneDescriptorsMax)
  t.ok(ids.every(exists))
  child.kill('SIGKILL')
  await once(child, 'exit')
  await until(() => !ids.some(exists))
})

void test('without the capability the worker says so, and relays', async (t) => {
  const { stdout } = spawnSync('setpriv', ['--bounding-set', '-bpf,-sys_admin,-net_admin', '--inh-caps', '-bpf,-sys_admin,-net_admin', process.execPath, holder], { encoding: 'utf8', timeout: 30_000 })
  t.match(stdout, /the kernel refuses a map \(sluice_lanes\): EPERM: it takes CAP_BPF and CAP_NET_ADMIN/)
  t.match(stdout, /relayed without it/)
})
