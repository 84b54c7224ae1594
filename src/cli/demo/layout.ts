// Who lives where: the demo's tenants and ports, and its copy of config/demo.yaml with the ports moved.
//
//   6443 gateway · 9443 admin · 31443 acme · 31444 globex · 31445 initech · 31446 nobody, on purpose · 16443 agent
//   --ports 20000:  20000         20001        20002          20003           20004           20005           20006

import { readFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { DemoError } from './demo-error.ts'

export const loopback = '127.0.0.1'

/** In the order in which `--ports` hands them out. At `nobody` nothing may listen: an API server that is down. */
const portUses = ['gateway', 'admin', 'acme', 'globex', 'initech', 'nobody', 'agent'] as const

export type DemoPorts = Readonly<Record<typeof portUses[number], number>>

const portsOfFile: DemoPorts = { gateway: 6443, admin: 9443, acme: 31443, globex: 31444, initech: 31445, nobody: 31446, agent: 16443 }

export const portCount = portUses.length

export const tenantNames = ['acme', 'globex', 'initech'] as const

export type TenantName = typeof tenantNames[number]

export function hostnameOf(tenant: string): string {
  return `${tenant}.k8s.example.test`
}

/** A name that no tenant has until the demo changes the configuration. */
export const addedHostname = hostnameOf('staging.initech')

/** @param first of `portCount` ports in a row; absent: those of config/demo.yaml */
export function demoPorts(first?: number): DemoPorts {
  if (first === undefined) return portsOfFile
  return { gateway: first, admin: first + 1, acme: first + 2, globex: first + 3, initech: first + 4, nobody: first + 5, agent: first + 6 }
}

/** The text of config/demo.yaml with these ports. */
export async function demoConfig(ports: DemoPorts): Promise<string> {
  const text = await readFile(new URL('../../../config/demo.yaml', import.meta.url), 'utf8')
  const moved = new Map(portUses.map(use => [String(portsOfFile[use]), String(ports[use])]))
  return text.replaceAll(new RegExp(`\\b(?:${[...moved.keys()].join('|')})\\b`, 'g'), port => moved.get(port) ?? port)
}

/** Gives initech one hostname more. */
export function withAddedHostname(config: string): string {
  return replaced(config, `[${hostnameOf('initech')}]`, `[${hostnameOf('initech')}, ${addedHostname}]`)
}

/** A mistake as one makes it in an editor: ignored, it would let everybody in. */
export function withMisspeltKey(config: string): string {
  return replaced(config, 'allowedSources:', 'allowedSource:')
}

function replaced(text: string, from: string, to: string): string {
  if (!text.includes(from)) throw new Error(`bug: config/demo.yaml has no ${from}`)
  return text.replace(from, to)
}

/** @throws {DemoError} that names each port where something listens already */
export async function assertPortsFree(ports: DemoPorts): Promise<void> {
  const free = await Promise.all(portUses.map(use => isFree(ports[use])))
  const taken = portUses.filter((_, index) => free[index] !== true)
  if (taken.length === 0) return
  const lines = taken.map(use => `  ${loopback}:${ports[use]}  (${use === 'nobody' ? 'must stay unused: an API server that is down' : use})`)
  throw new DemoError('port-in-use', `in use already:\n${lines.join('\n')}\n\
Stop what listens there (on Linux, \`ss -ltnp\` names it), or use ${portCount} other ports in a row: sluice demo --ports 20000`)
}

async function isFree(port: number): Promise<boolean> {
  return await new Promise(resolve => {
    const server = createServer()
    server.once('error', () => resolve(false))
    server.listen({ host: loopback, port, exclusive: true }, () => server.close(() => resolve(true)))
  })
}
