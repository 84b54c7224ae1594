// `sluice token` and `sluice node`: who may have a tunnel session. They work on the store, beside gateways that run.

import { dirname } from 'node:path'
import { parseArgs } from 'node:util'
import { ConfigError, formatProblems } from '../config/config-error.ts'
import type { Config } from '../config/config.ts'
import { parseDurationMs } from '../config/duration.ts'
import { loadConfig } from '../config/load.ts'
import { nearestName } from '../config/nearest.ts'
import { namePattern } from '../core/name.ts'
import { Identities, IdentityError } from '../state/identities.ts'
import { openStore } from '../state/open-store.ts'
import { StoreUnavailableError, type Store } from '../state/store.ts'
import type { CliIo } from './io.ts'
import { formatTable } from './table.ts'

export const tokenUsage = `Usage: sluice token create --config FILE --tenant NAME [--ttl 1h] [--uses 1]
       sluice token list --config FILE [--output json]
       sluice token revoke --config FILE ID

A join token lets a node's agent in: it shows the token once, its own key is enrolled for the token's tenant, and from then on
the key is enough. The token goes to standard output, alone; it can't be shown again, since only its hash is kept.

  --config FILE   the gateway's configuration: it names the store (state)
  --tenant NAME   whose API server the nodes reach
  --ttl 1h        how long it can be used, at most 30 days (720h)
  --uses 1        how many nodes may enrol with it, at most 1000

A token that is revoked lets nobody in any more; nodes that it let in stay: see sluice node.

Exit codes: 0 done, 1 there is no such token, or the store is out of reach, 2 wrong configuration or arguments.

Example
  sluice token create --config sluice.yaml --tenant acme --uses 10 > join-token
`

export const nodeUsage = `Usage: sluice node list --config FILE [--output json]
       sluice node revoke --config FILE KEY

Nodes whose key is enrolled, by a token, whose id is shown, or by a certificate. One that is revoked loses its sessions within a second, and its key never gets in again; to let
the machine in once more, remove its agent's state and give it a new token, or give it a certificate with a new key: its authority
must give it none otherwise.

  --config FILE   the gateway's configuration: it names the store (state)

Exit codes: 0 done, 1 there is no such node, or the store is out of reach, 2 wrong configuration or arguments.

Example
  sluice node list --config sluice.yaml
`

const options = { config: { type: 'string' }, tenant: { type: 'string' }, ttl: { type: 'string' }, uses: { type: 'string' }, output: { type: 'string' } } as const

interface Asked {
  readonly command: string
  readonly action: string | undefined
  readonly argument: string | undefined
  readonly values: Partial<Record<keyof typeof options, string>>
  readonly config: Config
  readonly store: Store
  readonly identities: Identities
  readonly io: CliIo
}

export async function tokenCommand(args: readonly string[], io: CliIo): Promise<number> {
  return await withIdentities({ command: 'token', usage: tokenUsage, args, io }, async (asked) => {
    switch (asked.action) {
      case 'create': return await createToken(asked)
      case 'list': return await listTokens(asked)
      case 'revoke': return await revoke(asked, async (id) => (await asked.identities.revokeToken(id)) !== undefined)
      default: return undefined
    }
  })
}

export async function nodeCommand(args: readonly string[], io: CliIo): Promise<number> {
  return await withIdentities({ command: 'node', usage: nodeUsage, args, io }, async (asked) => {
    switch (asked.action) {
      case 'list': return await listNodes(asked)
      case 'revoke': return await revoke(asked, async (keyId) => (await asked.identities.revokeNode(keyId)) !== undefined)
      default: return undefined
    }
  })
}

interface Invocation {
  readonly command: string
  readonly usage: string
  readonly args: readonly string[]
  readonly io: CliIo
}

/** @param perform undefined: there is no such action */
async function withIdentities({ command, usage, args, io }: Invocation, perform: (asked: Asked) => Promise<number | undefined>): Promise<number> {
  const { values, positionals: [action, argument, ...others] } = parseArgs({ args: [...args], allowPositionals: true, strict: true, options })
  const wrong = (what: string): number => {
    io.stderr.write(`sluice ${command}: ${what}\n\n${usage}`)
    return 2
  }
  if (values.config === undefined || action === undefined || others.length > 0) return wrong('an action and --config FILE are needed')
  try {
    const config = loadConfig({ file: values.config, env: io.env })
    const store = await openStore(config.state, dirname(values.config))
    try {
      const code = await perform({ command, action, argument, values, config, store, identities: new Identities(store), io })
      return code ?? wrong(`no action ${JSON.stringify(action)}`)
    } finally {
      await store.close()
    }
  } catch (error) {
    if (error instanceof ConfigError) {
      io.stderr.write(formatProblems(error))
      return 2
    }
    if (!(error instanceof StoreUnavailableError) && !(error instanceof IdentityError)) throw error
    io.stderr.write(`sluice ${command}: ${error.message}\n`)
    return error instanceof IdentityError ? 2 : 1
  }
}

async function createToken({ values, config, store, identities, io }: Asked): Promise<number> {
  const wrong = (what: string): number => {
    io.stderr.write(`sluice token create: ${what}\n`)
    return 2
  }
  const { tenant, ttl = '1h', uses = '1' } = values
  const names = config.tenants.map(({ name }) => name)
  const isKnown = tenant !== undefined && (names.includes(tenant) || (hasStoredTenants(config) && namePattern.test(tenant) && await store.get(`tenants/${tenant}`) !== undefined))
  if (!isKnown) {
    const nearest = nearestName(tenant ?? '', names)
    return wrong(tenant === undefined ? '--tenant NAME is needed' : `there is no tenant ${JSON.stringify(tenant)}${nearest === undefined ? '' : `; did you mean ${nearest}?`}`)
  }
  const ttlMs = parseDurationMs(ttl)
  if (ttlMs === undefined || ttlMs === 0) return wrong(`--ttl ${ttl}: expected a duration like 30m, 1h or 720h`)
  if (!/^\d{1,6}$/.test(uses)) return wrong(`--uses ${uses}: expected a whole number`)
  const { id, text, expiresAtMs } = await identities.createToken({ tenant, ttlMs, usesMax: Number(uses) })
  io.stdout.write(`${text}\n`)
  io.stderr.write(`token ${id}: for ${tenant}, ${uses === '1' ? 'one node' : `${uses} nodes`}, until ${time(expiresAtMs)}; it can't be shown again\n`)
  return 0
}

function hasStoredTenants({ state }: Config): boolean {
  return state.kind === 'etcd' && state.tenants === true
}

async function listTokens({ values, identities, io }: Asked): Promise<number> {
  const rows = (await identities.tokens()).map(({ id, tenant, createdAtMs, expiresAtMs, usesMax, usedBy, revokedAtMs }) => ({
    id, tenant, uses: `${usedBy.length}/${usesMax}`, created: time(createdAtMs), expires: time(expiresAtMs),
    state: revokedAtMs !== undefined ? 'revoked' : expiresAtMs <= Date.now() ? 'expired' : usedBy.length >= usesMax ? 'used up' : 'valid',
  }))
  print(io, rows, ['id', 'tenant', 'uses', 'created', 'expires', 'state'], values.output)
  return 0
}

async function listNodes({ values, identities, io }: Asked): Promise<number> {
  const rows = (await identities.nodes()).map(({ keyId, tenant, name, enrolledAtMs, enrolledBy, revokedAtMs }) => ({
    key: keyId, tenant, name, enrolled: time(enrolledAtMs), by: enrolledBy, state: revokedAtMs === undefined ? 'enrolled' : 'revoked',
  }))
  print(io, rows, ['key', 'tenant', 'name', 'enrolled', 'by', 'state'], values.output)
  return 0
}

async function revoke({ command, argument, io }: Asked, perform: (id: string) => Promise<boolean>): Promise<number> {
  const valid = argument !== undefined && /^[0-9a-f]{16,32}$/.test(argument)
  if (valid && await perform(argument)) {
    io.stderr.write(`${command} ${argument}: revoked\n`)
    return 0
  }
  io.stderr.write(`sluice ${command} revoke: ${argument === undefined ? 'which one?' : `there is no ${command} ${JSON.stringify(argument)}`} sluice ${command} list shows them\n`)
  return argument === undefined ? 2 : 1
}

function print<Column extends string>(io: CliIo, rows: readonly Readonly<Record<Column, string>>[], columns: readonly Column[], output: string | undefined): void {
  if (output === 'json') {
    io.stdout.write(`${JSON.stringify(rows)}\n`)
    return
  }
  io.stdout.write(formatTable(rows, columns))
}

function time(ms: number): string {
  return `${new Date(ms).toISOString().slice(0, 19)}Z`
}
