// Records the ClientHellos of real clients: a listener on loopback keeps what comes and answers nothing.
//
//   node test/core/tls/capture-hellos.ts          writes test/fixtures/hellos/*.hex
//
// Needs openssl, curl, go and kubectl. The fixtures are as they were sent by the versions that their first line names:
// capturing again replaces them by those of the machine at hand.

import { execFile, execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createServer, type AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { connect } from 'node:tls'
import { fileURLToPath } from 'node:url'
import { ClientHelloReader } from '../../../src/core/tls/client-hello.ts'

const folder = fileURLToPath(new URL('../../fixtures/hellos/', import.meta.url))
const serverName = 'acme.k8s.example.com'

/**
 * What a client sends up to the end of its hello.
 * @param dial begins a connection to 127.0.0.1 at this port
 */
export async function captureHello(dial: (port: number) => unknown): Promise<Buffer> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const hello = new Promise<Buffer>((resolve, reject) => {
    server.once('connection', (socket) => {
      const reader = new ClientHelloReader()
      const chunks: Buffer[] = []
      socket.on('data', (chunk: Buffer) => {
        chunks.push(chunk)
        if (reader.push(chunk).kind === 'incomplete') return
        socket.destroy()
        resolve(Buffer.concat(chunks))
      })
      socket.on('error', reject)
      socket.on('end', () => { reject(new Error('the client left before its hello was whole')) })
    })
  })
  try {
    dial((server.address() as AddressInfo).port)
    return await hello
  } finally {
    server.close()
  }
}

export function dialWithNode(port: number): void {
  connect({ host: '127.0.0.1', port, servername: serverName, ALPNProtocols: ['h2', 'http/1.1'] }).on('error', ignoreUnanswered)
}

/** The listener hangs up instead of answering: that every client fails is what is expected. */
function ignoreUnanswered(): void {}

interface Client {
  readonly file: string
  readonly version: string
  /** As it is noted in the fixture; PORT stands for the port. */
  readonly command: readonly string[]
}

function versionOf(command: string, ...args: readonly string[]): string {
  return execFileSync(command, args, { encoding: 'utf8' }).split('\n')[0] ?? ''
}

function clients(sessionFile: string): Client[] {
  const openssl = { version: versionOf('openssl', 'version') }
  const go = { version: versionOf('go', 'version') }
  const kubectl = { version: `kubectl, ${versionOf('kubectl', 'version', '--client')}` }
  const sClient = ['openssl', 's_client', '-connect', '127.0.0.1:PORT']
  const goClient = ['go', 'run', 'client.go', '-address', '127.0.0.1:PORT', '-name', serverName, '-kind']
  const get = ['kubectl', '--kubeconfig=/dev/null', '--server=https://127.0.0.1:PORT', '--insecure-skip-tls-verify', 'get', '--raw', '/']
  return [
    { ...openssl, file: 'openssl', command: [...sClient, '-servername', serverName, '-alpn', 'h2,http/1.1'] },
    { ...openssl, file: 'openssl-tls12', command: [...sClient, '-servername', serverName, '-tls1_2'] },
    { ...openssl, file: 'openssl-without-name', command: [...sClient, '-noservername'] },
    { ...openssl, file: 'openssl-resumption', command: [...sClient, '-servername', serverName, '-sess_in', sessionFile] },
    { version: versionOf('curl', '--version').replace(/ zlib.*/, ''), file: 'curl', command: ['curl', '--insecure', '--resolve', `${serverName}:PORT:127.0.0.1`, `https://${serverName}:PORT/`] },
    { ...go, file: 'go-mlkem', command: [...goClient, 'mlkem'] },
    { ...go, file: 'go-classic', command: [...goClient, 'classic'] },
    { ...go, file: 'go-ech', command: [...goClient, 'ech'] },
    { ...kubectl, file: 'kubectl', command: [...get, `--tls-server-name=${serverName}`] },
    { ...kubectl, file: 'kubectl-ip-address', command: get },
  ]
}

/** A session of TLS 1.3 that s_client can offer again, as pre_shared_key. */
async function makeSession(directory: string): Promise<string> {
  const [key, certificate, session] = ['key.pem', 'certificate.pem', 'session.pem'].map((file) => join(directory, file)) as [string, string, string]
  execFileSync('openssl', ['req', '-x509', '-newkey', 'ed25519', '-nodes', '-subj', `/CN=${serverName}`, '-keyout', key, '-out', certificate], { stdio: 'ignore' })
  const server = spawn('openssl', ['s_server', '-accept', '127.0.0.1:0', '-www', '-key', key, '-cert', certificate])
  let output = ''
  for await (const chunk of server.stdout.setEncoding('utf8')) {
    output += chunk
    const port = /ACCEPT 127\.0\.0\.1:(\d+)/.exec(output)?.[1]
    if (port === undefined) continue
    execFileSync('openssl', ['s_client', '-connect', `127.0.0.1:${port}`, '-servername', serverName, '-ign_eof', '-sess_out', session], { input: 'GET / HTTP/1.0\r\n\r\n', stdio: ['pipe', 'ignore', 'ignore'] })
    break
  }
  server.kill()
  return session
}

function write(file: string, comment: string, hello: Buffer): void {
  const lines = hello.toString('hex').match(/.{1,64}/g) ?? []
  writeFileSync(join(folder, `${file}.hex`), `# ${comment}\n${lines.join('\n')}\n`)
}

async function main(): Promise<void> {
  const directory = mkdtempSync(join(tmpdir(), 'hellos-'))
  try {
    for (const { file, version, command } of clients(await makeSession(directory))) {
      const hello = await captureHello((port) => {
        const [program = '', ...args] = command.map((word) => word.replaceAll('PORT', String(port)))
        execFile(program, args, { cwd: folder }, ignoreUnanswered).stdin?.end()
      })
      write(file, `Sent by ${version}: ${command.join(' ').replace(directory, '.')}`, hello)
    }
    write('node', `Sent by Node.js ${process.version}, OpenSSL ${process.versions.openssl}: tls.connect`, await captureHello(dialWithNode))
  } finally {
    rmSync(directory, { recursive: true })
  }
}

if (import.meta.main) await main()
