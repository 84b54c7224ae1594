// From the command line to a command and its exit code. Commands are loaded when they are called: `check` needs no server.

import { readFileSync } from 'node:fs'
import { flushCompileCache } from 'node:module'
import { setFlagsFromString } from 'node:v8'
import type { CliIo } from './cli/io.ts'

interface Command {
  readonly summary: string
  readonly load: () => Promise<{ readonly run: (args: string[], io: CliIo) => Promise<number>; readonly usage: string }>
}

/**
 * What an agent allocates is bytes on their way, outside of V8's heap and dead within a turn; a scavenge frees them. V8 counts them against
 * the growth that it allows a heap, and the agent's is so small that every 9 MB of a bulky stream had the whole heap collected: half
 * of what it cost. So scavenges come often, for which the young generation stays as small as it begins, and the heap may grow further
 * in between. It must be said before the agent is loaded, which makes the generation grow.
 */
function collectBytesEarly(): void {
  setFlagsFromString('--semi-space-growth-factor=1')
  setFlagsFromString('--heap-growing-percent=200')
}

const commands: Readonly<Record<string, Command>> = {
  gateway: {
    summary: 'run the edge, and the tunnel\'s end: route TLS connections by name',
    load: async () => {
      const { gatewayCommand, gatewayUsage } = await import('./cli/gateway.ts')
      return { run: gatewayCommand, usage: gatewayUsage }
    },
  },
  agent: {
    summary: 'on a customer\'s node: carry its connections to its API server',
    load: async () => {
      collectBytesEarly()
      const { agentCommand, usage } = await import('./cli/agent.ts')
      return { run: agentCommand, usage }
    },
  },
  doctor: {
    summary: 'on a customer\'s node: what an agent lacks, and what to do about it',
    load: async () => {
      const { doctor, usage } = await import('./cli/doctor.ts')
      return { run: doctor, usage }
    },
  },
  token: {
    summary: 'make, list and revoke join tokens, that let nodes\' agents in',
    load: async () => {
      const { tokenCommand, tokenUsage } = await import('./cli/token.ts')
      return { run: tokenCommand, usage: tokenUsage }
    },
  },
  node: {
    summary: 'list and revoke enrolled nodes',
    load: async () => {
      const { nodeCommand, nodeUsage } = await import('./cli/token.ts')
      return { run: nodeCommand, usage: nodeUsage }
    },
  },
  state: {
    summary: 'export and import all that the store holds',
    load: async () => {
      const { stateCommand, stateUsage } = await import('./cli/state.ts')
      return { run: stateCommand, usage: stateUsage }
    },
  },
  check: {
    summary: 'read a configuration and print every mistake in it',
    load: async () => {
      const { check, usage } = await import('./cli/check.ts')
      return { run: check, usage }
    },
  },
  explain: {
    summary: 'tell which tenant, rule and endpoints a name gets, or what refuses it',
    load: async () => {
      const { explain, usage } = await import('./cli/explain.ts')
      return { run: explain, usage }
    },
  },
  demo: {
    summary: 'three tenants, a gateway and live traffic on this machine',
    load: async () => {
      const { demo, usage } = await import('./cli/demo.ts')
      return { run: demo, usage }
    },
  },
}

const help = `Sluice: the network tier in front of hosted Kubernetes control planes.

Usage: sluice COMMAND [OPTIONS]

${Object.entries(commands).map(([name, { summary }]) => `  ${name.padEnd(10)}${summary}`).join('\n')}

  sluice COMMAND --help   what a command does, with examples
  sluice --version

Start here: sluice demo
`

async function main(argv: readonly string[], io: CliIo): Promise<number> {
  const [first, ...args] = argv
  if (first === undefined || first === '--help' || first === '-h' || (first === 'help' && args[0] === undefined)) {
    const stream = first === undefined ? io.stderr : io.stdout
    stream.write(help)
    return first === undefined ? 2 : 0
  }
  if (first === '--version' || first === '-v') {
    io.stdout.write(`sluice ${version()}\n`)
    return 0
  }
  const asksHelp = first === 'help' || args.includes('--help') || args.includes('-h')
  const name = first === 'help' ? args[0] ?? '' : first
  const command = Object.hasOwn(commands, name) ? commands[name] : undefined
  if (command === undefined) {
    io.stderr.write(`sluice: no command ${JSON.stringify(name)}; there are ${Object.keys(commands).join(', ')}\n`)
    return 2
  }
  const { run, usage } = await command.load()
  // Of what sluice.js lets Node keep: now, since a server that is killed does not come to its end.
  flushCompileCache()
  if (asksHelp) {
    io.stdout.write(usage)
    return 0
  }
  try {
    return await run(args, io)
  } catch (error) {
    // parseArgs of node:util: an option that there is not, or one without its value.
    if (!(error instanceof TypeError) || !('code' in error) || !String(error.code).startsWith('ERR_PARSE_ARGS')) throw error
    io.stderr.write(`sluice ${name}: ${error.message}\n\n${usage}`)
    return 2
  }
}

function version(): string {
  const manifest: { version: string } = JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8'))
  return manifest.version
}

process.exitCode = await main(process.argv.slice(2), { stdout: process.stdout, stderr: process.stderr, env: process.env })
