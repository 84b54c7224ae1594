// `sluice gateway`: runs until it is told to end, and turns signals into what the gateway does.

import { parseArgs } from 'node:util'
import { ConfigError, formatProblems } from '../config/config-error.ts'
import { startGateway, type Gateway } from '../gateway/gateway.ts'
import { createLogger, LogLevelError, type Logger } from '../observe/log.ts'
import type { CliIo } from './io.ts'

export const gatewayUsage = `Usage: sluice gateway --config FILE

Routes TLS connections to tenants' API servers by the name in their ClientHello, without ending TLS.

  --config FILE   the configuration (see config/sluice.yaml for an example)

Signals
  SIGHUP          reload; so does a change of the file. A bad file leaves the running configuration and says why.
  SIGTERM SIGINT  drain: /readyz fails, accepting goes on for defaults.timeouts.drainGrace, then listeners close and
                  connections end by themselves or after timeouts.drain. A second one ends everything at once.

Environment
  SLUICE_LOG_LEVEL   trace debug info warn error fatal silent; default info
  SLUICE_…           overrides one value of the file: SLUICE_ADMIN_ADDRESS=127.0.0.1:9443
  SLUICE_DEBUG=1     SIGUSR2 crashes a worker thread of the relay, for tests of what happens then

Exit codes: 0 drained, 1 failure or cut short by a second signal, 2 wrong configuration or arguments.

Example
  sluice check sluice.yaml && sluice gateway --config sluice.yaml
`

export async function gatewayCommand(args: readonly string[], io: CliIo): Promise<number> {
  const { values } = parseArgs({ args: [...args], options: { config: { type: 'string' } }, strict: true })
  if (values.config === undefined) {
    io.stderr.write(`sluice gateway: --config FILE is needed\n\n${gatewayUsage}`)
    return 2
  }
  let logger: Logger
  try {
    logger = createLogger({ level: io.env['SLUICE_LOG_LEVEL'] })
  } catch (error) {
    if (!(error instanceof LogLevelError)) throw error
    io.stderr.write(`sluice gateway: ${error.message}\n`)
    return 2
  }
  // By default it would end the process: whoever wrote the file need not know whether the gateway has started.
  let hangup = false
  const onEarlyHangup = (): void => {
    hangup = true
  }
  process.on('SIGHUP', onEarlyHangup)
  try {
    const gateway = await startGateway({ configFile: values.config, env: io.env, logger })
    process.off('SIGHUP', onEarlyHangup)
    if (hangup) void gateway.reload('SIGHUP')
    return await runUntilSignalled(gateway, logger, { debug: io.env['SLUICE_DEBUG'] === '1' })
  } catch (error) {
    if (error instanceof ConfigError) {
      io.stderr.write(formatProblems(error))
      return 2
    }
    logger.fatal({ err: error }, 'the gateway could not start')
    return 1
  } finally {
    process.off('SIGHUP', onEarlyHangup)
  }
}

/** @returns the exit code */
async function runUntilSignalled(gateway: Gateway, logger: Logger, { debug }: { debug: boolean }): Promise<number> {
  return await new Promise((resolve) => {
    let draining = false
    let exitCode = 0
    const onHangup = (): void => {
      void gateway.reload('SIGHUP')
    }
    const onTerminate = (signal: NodeJS.Signals): void => {
      if (draining) {
        logger.warn({ signal }, 'second signal: ending every connection at once')
        exitCode = 1
        void gateway.stop().then(finish)
        return
      }
      draining = true
      logger.info({ signal }, 'draining')
      void gateway.drain().then(finish)
    }
    const onDebug = (): void => {
      logger.warn({}, 'SIGUSR2 with SLUICE_DEBUG=1: a worker is made to crash')
      void gateway.crashWorker()
    }
    const finish = (): void => {
      process.off('SIGUSR2', onDebug).off('SIGHUP', onHangup).off('SIGTERM', onTerminate).off('SIGINT', onTerminate)
      resolve(exitCode)
    }
    if (debug) process.on('SIGUSR2', onDebug)
    process.on('SIGHUP', onHangup).on('SIGTERM', onTerminate).on('SIGINT', onTerminate)
  })
}
