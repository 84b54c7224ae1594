// `sluice doctor`: looks, one after the other, at everything that an agent needs, and says what to do about what is wrong.

import { dirname, resolve } from 'node:path'
import { parseArgs } from 'node:util'
import { loadAgentConfig, type AgentConfig } from '../config/agent-schema.ts'
import { ConfigError, formatProblem } from '../config/config-error.ts'
import { FileError, httpProxy, readRequired } from './agent/files.ts'
import { checkGateway } from './doctor/gateway-checks.ts'
import { checkForwards, checkState } from './doctor/node-checks.ts'
import { failed, formatCheck, formatSummary, ok, type Check, type Verdict } from './doctor/verdict.ts'
import type { CliIo } from './io.ts'

export const usage = `Usage: sluice doctor --config FILE

Looks at everything that an agent needs, on the node where it runs or is to run, and says what to do about what is wrong.

  --config FILE   the agent's configuration

It looks at the configuration and the files that it names; the state directory and the key, and the join token, or in their place
the node's certificate; then for each gateway at its name, the proxy or TCP, TLS and the certificate, this node's clock, whether a
tunnel gateway answers, whether packets of full size pass, and whether the node is let in; at last at the addresses to listen on.

Nothing is changed: no key or address is made, and no join token is used up. An agent may run meanwhile. A node that is enrolled,
or has a certificate, has one session more for a moment. Run it as the agent's user, since permissions are part of what it looks at.

Exit codes: 0 everything is ok, 1 something is not, 2 wrong arguments.

Example
  sluice doctor --config agent.yaml
`

export async function doctor(args: readonly string[], io: CliIo): Promise<number> {
  const { values } = parseArgs({ args: [...args], options: { config: { type: 'string' } }, strict: true })
  if (values.config === undefined) {
    io.stderr.write(`sluice doctor: --config FILE is needed\n\n${usage}`)
    return 2
  }
  const verdicts: Verdict[] = []
  for await (const check of checks(values.config, io)) {
    verdicts.push(check.verdict)
    io.stdout.write(formatCheck(check))
  }
  io.stdout.write(formatSummary(verdicts))
  return verdicts.some(({ kind }) => kind === 'failed') ? 1 : 0
}

async function* checks(file: string, { env }: CliIo): AsyncGenerator<Check> {
  const config = configOf(file, env)
  if (Array.isArray(config)) {
    for (const verdict of config) yield { name: 'configuration', verdict }
    return
  }
  const { caFile, proxy, gateways, node } = config
  const folder = dirname(file)
  const files = filesOf(() => ({
    caPem: caFile === undefined ? undefined : readRequired('caFile', resolve(folder, caFile)),
    proxy: proxy === undefined ? undefined : httpProxy(proxy, folder),
  }))
  yield { name: 'configuration', verdict: 'fault' in files ? failed(files.fault, 'mend the file, or the configuration that names it') : ok(`${file}, and the files that it names, for the node ${node}`) }
  const { checks: stateChecks, credentials, hasToken } = await checkState(config, folder)
  yield* stateChecks
  if (!('fault' in files)) {
    for (const gateway of gateways) yield* checkGateway({ gateway, ...files, node, credentials, hasToken })
  }
  yield* checkForwards(config)
}

function configOf(file: string, env: CliIo['env']): AgentConfig | Verdict[] {
  try {
    return loadAgentConfig({ file, env })
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error
    return error.problems.map((problem) => failed(formatProblem(problem), 'mend it: nothing else can be looked at before'))
  }
}

function filesOf<Files extends object>(read: () => Files): Files | { readonly fault: string } {
  try {
    return read()
  } catch (error) {
    if (error instanceof FileError) return { fault: error.message }
    throw error
  }
}
