// What a gateway's process says and uses, seen from outside.

import { readdir, readFile } from 'node:fs/promises'

export async function snapshotVersion(admin: string): Promise<number> {
  const snapshot: unknown = await (await fetch(`${admin}/v1/snapshot`)).json()
  if (typeof snapshot !== 'object' || snapshot === null || !('version' in snapshot)) throw new Error('no version')
  return Number(snapshot.version)
}

/** All of its series together. */
export async function metric(admin: string, name: string): Promise<number> {
  const metrics = await (await fetch(`${admin}/metrics`)).text()
  const series = metrics.split('\n').filter((line) => line.startsWith(`${name} `) || line.startsWith(`${name}{`))
  if (series.length === 0) throw new Error(`no metric ${name}`)
  return series.reduce((sum, line) => sum + Number(line.slice(line.lastIndexOf(' '))), 0)
}

export async function descriptorsOf(pid: number): Promise<number> {
  return (await readdir(`/proc/${pid}/fd`)).length
}

/** How often the access log names each termination reason. */
export async function reasonsIn(logPath: string): Promise<Readonly<Record<string, number>>> {
  const counts: Record<string, number> = {}
  for (const [, reason = ''] of (await readFile(logPath, 'utf8')).matchAll(/"reason":"([^"]+)"/g)) counts[reason] = (counts[reason] ?? 0) + 1
  return counts
}

export async function residentOf(pid: number): Promise<number> {
  return Number(/^VmRSS:\s+(\d+) kB$/m.exec(await readFile(`/proc/${pid}/status`, 'utf8'))?.[1])
}
