// HAProxy, https://www.haproxy.org: one thread, TCP mode, the name from the ClientHello by req.ssl_sni.

import { join } from 'node:path'
import { findExecutable, type Launch, outputOf, type Peer, type PeerFacts, versionIn } from './peer.ts'

export const haproxy: Peer = {
  name: 'haproxy',
  settings: '`mode tcp`, `nbthread 1`, `inspect-delay`, `req.ssl_sni`, `option tcplog`',
  find: () => {
    const executable = findExecutable('haproxy')
    if (executable === undefined) return 'not installed'
    return { version: versionIn(outputOf(executable, '-v')), launch: (facts) => launch(executable, facts) }
  },
}

function launch(executable: string, facts: PeerFacts): Launch {
  return {
    executable,
    arguments_: ['-db', '-f', join(facts.directory, 'haproxy.cfg')],
    stopSignal: 'SIGTERM',
    files: { 'haproxy.cfg': render(facts) },
  }
}

function render({ listenPort, routes, connectionsMax }: PeerFacts): string {
  return `global
  nbthread 1
  maxconn ${connectionsMax}
  log stdout len 1024 format raw local0 info

defaults
  mode tcp
  log global
  option tcplog
  maxconn ${connectionsMax}
  timeout connect 3s
  timeout client 1h
  timeout server 1h

frontend edge
  bind 127.0.0.1:${listenPort} backlog 4096
  tcp-request inspect-delay 5s
  tcp-request content accept if { req.ssl_hello_type 1 }
${routes.map(({ serverName, port }) => `  use_backend to-${port} if { req.ssl_sni -i ${serverName} }`).join('\n')}

${routes.map(({ port }) => `backend to-${port}\n  server only 127.0.0.1:${port}`).join('\n\n')}
`
}
