// nginx, https://nginx.org: one worker, the stream module with ssl_preread.

import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { findExecutable, type Launch, outputOf, type Peer, type PeerFacts, versionIn } from './peer.ts'

/** nginx's own default. */
const hashSizeMin = 2_048

export const nginx: Peer = {
  name: 'nginx',
  settings: '`worker_processes 1`, `ssl_preread on`, `proxy_half_close on`, `access_log`',
  find: () => {
    const executable = findExecutable('nginx')
    if (executable === undefined) return 'not installed'
    const built = outputOf(executable, '-V')
    const module = streamModule(built)
    if (module === undefined) return 'installed without its stream module'
    return { version: versionIn(built), launch: (facts) => launch(executable, module, facts) }
  },
}

/** @returns the module's path, '' if it is built in, undefined if there is none */
function streamModule(built: string): string | undefined {
  if (!/--with-stream_ssl_preread_module\b/.test(built)) return undefined
  if (!/--with-stream=dynamic\b/.test(built)) return ''
  const path = join(/--modules-path=(\S+)/.exec(built)?.[1] ?? '', 'ngx_stream_module.so')
  return existsSync(path) ? path : undefined
}

function launch(executable: string, module: string, facts: PeerFacts): Launch {
  return {
    executable,
    arguments_: ['-p', facts.directory, '-e', join(facts.directory, 'error.log'), '-c', join(facts.directory, 'nginx.conf')],
    stopSignal: 'SIGTERM',
    files: { 'nginx.conf': render(module, facts) },
  }
}

function render(module: string, { directory, listenPort, routes, connectionsMax }: PeerFacts): string {
  return `${module === '' ? '' : `load_module ${module};\n`}daemon off;
worker_processes 1;
pid ${directory}/nginx.pid;
error_log ${directory}/error.log warn;

events {
  worker_connections ${2 * connectionsMax + 16};
}

stream {
  map_hash_max_size ${Math.max(hashSizeMin, 2 * routes.length)};
  map_hash_bucket_size 128;
  map $ssl_preread_server_name $tenant {
${routes.map(({ serverName, endpoint }) => `    ${serverName} ${endpoint};`).join('\n')}
  }
  log_format connection '$time_iso8601 $remote_addr:$remote_port $ssl_preread_server_name $upstream_addr $status $bytes_received $bytes_sent $session_time';
  access_log ${directory}/access.log connection;
  server {
    listen 127.0.0.1:${listenPort} backlog=16384;
    ssl_preread on;
    tcp_nodelay on;
    proxy_connect_timeout 3s;
    proxy_timeout 1h;
    proxy_half_close on;
    proxy_pass $tenant;
  }
}
`
}
