// A real gateway in this process with its admin API, asked over its Unix socket, and clients of its tenants.

import { once } from 'node:events'
import { renameSync, writeFileSync } from 'node:fs'
import { request } from 'node:http'
import { request as tlsRequest } from 'node:https'
import type { Socket } from 'node:net'
import { join } from 'node:path'
import type { Test } from 'tap'
import { startGateway, type Gateway } from '../../src/gateway/gateway.ts'
import { createLogger } from '../../src/observe/log.ts'
import { buildClientHello } from '../core/tls/hello-builder.ts'
import { keptLines } from './kept-lines.ts'
import { socketFolder } from './socket-folder.ts'
import { dial, readBytes } from './sockets.ts'

export const drivers = process.platform === 'linux' ? ['node', 'linux'] as const : ['node'] as const

export interface AdminGateway {
  readonly gateway: Gateway
  readonly folder: string
  readonly lines: Readonly<Record<string, unknown>>[]
  readonly write: (text: string) => void
  /** Over the Unix socket. */
  readonly ask: (method: string, path: string, body?: object) => Promise<Answered>
  readonly relayed: (tenant: string) => Promise<Socket>
}

export interface Listed {
  readonly id: string
}

export interface Answered {
  readonly status: number
  readonly value: { readonly connections?: readonly Listed[]; readonly continue?: string }
}

export function listedIn({ value }: Answered): readonly Listed[] {
  return value.connections ?? []
}

type Where = { readonly socketPath: string } | { readonly host: string; readonly port: number; readonly ca?: string; readonly token?: string }

export async function askAdmin(where: Where, method: string, path: string, body?: object): Promise<Answered> {
  const headers = { ...(body === undefined ? {} : { 'content-type': 'application/json' }), ...('token' in where ? { authorization: `Bearer ${where.token}` } : {}) }
  const options = { ...where, method, path, headers, agent: false, servername: 'localhost' }
  const sent = 'ca' in where ? tlsRequest(options) : request(options)
  sent.end(body === undefined ? undefined : JSON.stringify(body))
  const [response] = await once(sent, 'response')
  let text = ''
  for await (const chunk of response) text += String(chunk)
  return { status: response.statusCode, value: text.startsWith('{') ? JSON.parse(text) : text }
}

/** @param text of the configuration, but for `relay`; the folder is its file's */
export async function startAdmin(t: Test, driver: string, text: (folder: string) => string): Promise<AdminGateway> {
  const folder = await socketFolder(t)
  const file = join(folder, 'sluice.yaml')
  const { lines, stream } = keptLines()
  const write = (next: string): void => {
    writeFileSync(`${file}.new`, `relay: { driver: ${driver}, workers: 2 }\n${next}`)
    renameSync(`${file}.new`, file)
  }
  write(text(folder))
  const logger = createLogger({ stream })
  const gateway = await startGateway({ configFile: file, env: { SLUICE_RELAY_WARM_UP: '0s' }, logger })
  t.teardown(async () => await gateway.stop())
  const relayed = async (tenant: string): Promise<Socket> => {
    const hello = buildClientHello({ serverName: `${tenant}.example.test` })
    const client = await dial(t, gateway.listeners[0]?.address.port ?? 0, hello)
    await readBytes(client, hello.length)
    return client
  }
  return { gateway, folder, lines, write, relayed, ask: async (...asked) => await askAdmin({ socketPath: join(folder, 'admin.sock') }, ...asked) }
}

export function adminConfig(names: Readonly<Record<string, number>>): string {
  return `listeners: [{ address: "127.0.0.1:0" }]
defaults: { timeouts: { drainGrace: 0s } }
tenants:
${Object.entries(names).map(([name, port]) => `  - { name: ${name}, hostnames: [${name}.example.test], apiServer: { endpoints: [127.0.0.1:${port}] } }`).join('\n')}
admin: { address: 127.0.0.1:0, socket: admin.sock }
`
}

export function isOpen(socket: Socket): boolean {
  return !socket.destroyed && !socket.readableEnded
}
