// sniproxy, https://github.com/dlundquist/sniproxy: one thread, one table.

import { join } from 'node:path'
import { findExecutable, type Launch, outputOf, type Peer, type PeerFacts, versionIn } from './peer.ts'

export const sniproxy: Peer = {
  name: 'sniproxy',
  settings: 'one table, `access_log`',
  find: () => {
    const executable = findExecutable('sniproxy')
    if (executable === undefined) return 'not installed'
    return { version: versionIn(outputOf(executable, '-V')), launch: (facts) => launch(executable, facts) }
  },
}

function launch(executable: string, facts: PeerFacts): Launch {
  return {
    executable,
    arguments_: ['-f', '-c', join(facts.directory, 'sniproxy.conf')],
    stopSignal: 'SIGTERM',
    files: { 'sniproxy.conf': render(facts) },
  }
}

function render({ directory, listenPort, routes }: PeerFacts): string {
  return `error_log {
  filename ${directory}/error.log
  priority notice
}

listen 127.0.0.1:${listenPort} {
  proto tls
  table tenants
  access_log {
    filename ${directory}/access.log
  }
}

table tenants {
${routes.map(({ serverName, endpoint }) => `  ^${serverName.replaceAll('.', '\\.')}$ ${endpoint}`).join('\n')}
}
`
}
