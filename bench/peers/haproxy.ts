// HAProxy, https://www.haproxy.org: one thread, TCP mode, the name from the ClientHello by req.ssl_sni, and from a map file
// the backend that it belongs to.

import { join } from 'node:path'
import { findExecutable, type Launch, outputOf, type Peer, type PeerFacts, versionIn } from './peer.ts'

const settings = '`mode tcp`, `nbthread 1`, `inspect-delay`, `req.ssl_sni`, a `map` file, `option tcplog`'

export const haproxy: Peer = haproxyPeer('haproxy')
/** It never sleeps. */
export const haproxyBusy: Peer = haproxyPeer('haproxy-busy', 'busy-polling')

/** @param more a line of `global` */
function haproxyPeer(name: string, more?: string): Peer {
  return {
    name,
    settings: more === undefined ? settings : `${settings}, \`${more}\``,
    find: () => {
      const executable = findExecutable('haproxy')
      if (executable === undefined) return 'not installed'
      return { version: versionIn(outputOf(executable, '-v')), launch: (facts) => launch(executable, facts, more) }
    },
  }
}

function launch(executable: string, facts: PeerFacts, more: string | undefined): Launch {
  return {
    executable,
    arguments_: ['-db', '-f', join(facts.directory, 'haproxy.cfg')],
    stopSignal: 'SIGTERM',
    files: { 'haproxy.cfg': render(facts, more), 'tenants.map': renderMap(facts) },
  }
}

function render({ directory, listenPort, routes, connectionsMax, limits: { connectionsPerSecond, perSourcePerSecond } = {} }: PeerFacts, more: string | undefined): string {
  return `global
  nbthread 1
${more === undefined ? '' : `  ${more}\n`}  maxconn ${connectionsMax}
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
  bind 127.0.0.1:${listenPort} backlog 16384
${connectionsPerSecond === undefined ? '' : `  rate-limit sessions ${connectionsPerSecond}\n`}${perSourcePerSecond === undefined ? '' : `  stick-table type ip size 100k expire 30s store conn_rate(1s)
  tcp-request connection track-sc0 src
  tcp-request connection reject if { sc_conn_rate(0) gt ${perSourcePerSecond} }
`}  tcp-request inspect-delay 5s
  tcp-request content accept if { req.ssl_hello_type 1 }
  use_backend %[req.ssl_sni,lower,map(${directory}/tenants.map)]

${routes.map(({ endpoint }, index) => `backend tenant-${index}\n  server only ${endpoint}`).join('\n\n')}
`
}

function renderMap({ routes }: PeerFacts): string {
  return routes.map(({ serverName }, index) => `${serverName} tenant-${index}\n`).join('')
}
