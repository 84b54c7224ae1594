// `sluice agent status`: asks the agent that runs here what it has, and what it waits for.

import { parseArgs } from 'node:util'
import { request } from 'node:http'
import { parseSocketAddress } from '../../config/address.ts'
import { loadAgentConfig } from '../../config/agent-schema.ts'
import { ConfigError, formatProblems } from '../../config/config-error.ts'
import { formatSocketAddress, type SocketAddress } from '../../core/net/socket-address.ts'
import type { AgentStatus } from '../../core/tunnel/agent-status.ts'
import type { CliIo } from '../io.ts'
import { formatStatus } from './format-status.ts'

const answerMsMax = 5_000
const answerBytesMax = 1024 * 1024
const defaultAdmin: SocketAddress = { address: '127.0.0.1', port: 9444 }

/** @param usage of `sluice agent` */
export async function agentStatusCommand(args: readonly string[], { io, usage }: { readonly io: CliIo; readonly usage: string }): Promise<number> {
  const { values } = parseArgs({ args: [...args], options: { config: { type: 'string' }, admin: { type: 'string' }, json: { type: 'boolean', default: false } }, strict: true })
  const admin = values.admin === undefined ? undefined : parseSocketAddress(values.admin)
  if ((values.admin !== undefined && (admin === undefined || values.config !== undefined))) {
    io.stderr.write(`sluice agent status: --config FILE or --admin ADDRESS:PORT, as in 127.0.0.1:9444\n\n${usage}`)
    return 2
  }
  try {
    const address = admin ?? (values.config === undefined ? defaultAdmin : adminIn(values.config, io))
    const status = await statusFrom(address)
    io.stdout.write(values.json ? `${JSON.stringify(status)}\n` : formatStatus(status, Date.now()))
    return status.ready ? 0 : 1
  } catch (error) {
    if (error instanceof ConfigError) {
      io.stderr.write(formatProblems(error))
      return 2
    }
    if (!(error instanceof StatusError)) throw error
    io.stderr.write(`sluice agent status: ${error.message}\n`)
    return error.exitCode
  }
}

/** There is nobody to ask, or no answer. */
class StatusError extends Error {
  readonly code = 'STATUS'
  readonly exitCode: number

  constructor(message: string, exitCode = 1) {
    super(message)
    this.exitCode = exitCode
  }
}

function adminIn(file: string, { env }: CliIo): SocketAddress {
  const { admin } = loadAgentConfig({ file, env })
  if (admin === undefined) throw new StatusError(`${file} has no admin.address, where the agent could be asked: admin: { address: ${formatSocketAddress(defaultAdmin)} }`, 2)
  return admin.address
}

/**
 * What the agent with this admin address tells of itself.
 * @throws an error that says why there is no answer
 */
export async function statusFrom(admin: SocketAddress): Promise<AgentStatus> {
  const host = admin.address === '0.0.0.0' ? '127.0.0.1' : admin.address === '::' ? '::1' : admin.address
  const at = formatSocketAddress({ address: host, port: admin.port })
  const body = await answerOf(host, admin.port).catch((error: unknown) => {
    throw new StatusError(`no answer from an agent at ${at}: ${error instanceof Error ? error.message : String(error)}; does it run, and with that admin.address?`)
  })
  const status = parsed(body)
  if (status === undefined) throw new StatusError(`what answers at ${at} is no agent`)
  return status
}

async function answerOf(host: string, port: number): Promise<string> {
  return await new Promise((resolve, reject) => {
    const asked = request({ host, port, path: '/v1/status', signal: AbortSignal.timeout(answerMsMax) }, (response) => {
      let body = ''
      response.setEncoding('utf8')
      response.on('data', (chunk: string) => {
        body += chunk
        if (body.length > answerBytesMax) response.destroy(new Error(`an answer of over ${answerBytesMax} bytes`))
      })
      response.on('error', reject)
      response.on('end', () => resolve(body))
    })
    asked.on('error', reject)
    asked.end()
  })
}

/** What is no status has no list of gateways. */
function parsed(body: string): AgentStatus | undefined {
  try {
    const status: unknown = JSON.parse(body)
    return typeof status === 'object' && status !== null && 'gateways' in status && 'forwards' in status && Array.isArray(status.gateways) ? status as AgentStatus : undefined
  } catch {
    return undefined
  }
}
