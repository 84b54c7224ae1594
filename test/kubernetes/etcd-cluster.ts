// An etcd of three members as Sluice's store: TLS, authentication on, and one user who may read and write below one prefix, by password and,
// as a client certificate's common name, without. Members can be killed and come back.

import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { Test } from 'tap'
import { createCa, type CertificateAuthority } from '../../src/cli/demo/certificates.ts'
import type { EtcdOptions } from '../../src/state/etcd/etcd-store.ts'
import { freePort } from '../../bench/free-port.ts'
import { LabProcess } from '../support/lab-process.ts'
import { etcdBinary } from './binaries.ts'
import { httpsRequest } from './https-request.ts'

const serverName = 'localhost'
const readyTimeoutMs = 60_000
const memberCount = 3
const user = 'sluice'
/** Of the tests' cluster. */
const password = 'correct horse battery staple'

interface Member {
  readonly name: string
  readonly port: number
  readonly peerPort: number
}

export class EtcdCluster {
  readonly directory: string
  readonly #ca: CertificateAuthority
  readonly #executable: string
  readonly #members: readonly Member[]
  readonly #running = new Map<Member, LabProcess>()
  readonly #hasClientCertificates: boolean

  private constructor(parts: { readonly directory: string; readonly executable: string; readonly members: readonly Member[]; readonly hasClientCertificates: boolean }) {
    this.directory = parts.directory
    this.#ca = createCa('etcd CA')
    this.#executable = parts.executable
    this.#members = parts.members
    this.#hasClientCertificates = parts.hasClientCertificates
  }

  /** Until the test's end. @param hasClientCertificates nobody comes without one, and its common name is the user */
  static async start(t: Test, { hasClientCertificates = false } = {}): Promise<EtcdCluster> {
    const executable = await etcdBinary((line) => t.comment(line))
    const members: Member[] = []
    for (let index = 0; index < memberCount; index++) members.push({ name: `etcd${index}`, port: await freePort(), peerPort: await freePort() })
    const cluster = new EtcdCluster({ directory: t.testdir(), executable, members, hasClientCertificates })
    t.teardown(async () => await Promise.all([...cluster.#running.values()].map(async (process) => await process.stop())))
    await cluster.#writeFiles()
    for (const index of members.keys()) cluster.startMember(index)
    await cluster.ready()
    await cluster.#enableAuthentication()
    return cluster
  }

  /** What its user needs. */
  options(prefix: string): EtcdOptions {
    return {
      endpoints: this.#members.map(({ port }) => `127.0.0.1:${port}`),
      prefix,
      caFile: this.file('ca.crt'),
      certificate: this.#hasClientCertificates ? { certFile: this.file('client.crt'), keyFile: this.file('client.key') } : undefined,
      user: this.#hasClientCertificates ? undefined : { name: user, passwordFile: this.file('password') },
    }
  }

  file(name: string): string {
    return join(this.directory, name)
  }

  startMember(index: number): void {
    const member = this.#memberAt(index)
    const { name, port, peerPort } = member
    const [client, peer] = [`https://127.0.0.1:${port}`, `http://127.0.0.1:${peerPort}`]
    this.#running.set(member, new LabProcess({
      name, executable: this.#executable, directory: this.directory,
      arguments_: [
        `--name=${name}`, `--data-dir=${this.file(`${name}.data`)}`,
        `--listen-client-urls=${client}`, `--advertise-client-urls=${client}`, `--listen-peer-urls=${peer}`, `--initial-advertise-peer-urls=${peer}`,
        `--initial-cluster=${this.#members.map((each) => `${each.name}=http://127.0.0.1:${each.peerPort}`).join(',')}`,
        `--cert-file=${this.file('server.crt')}`, `--key-file=${this.file('server.key')}`,
        ...(this.#hasClientCertificates ? [`--trusted-ca-file=${this.file('ca.crt')}`, '--client-cert-auth'] : []),
        '--auth-token-ttl=3', '--bcrypt-cost=4',
        // A killed process loses nothing that the system has: only durability over a crash of the machine would be lost.
        '--unsafe-no-fsync',
      ],
    }))
  }

  /** At once, with SIGKILL. */
  async killMember(index: number): Promise<void> {
    const process = this.#processAt(index)
    process.signal('SIGKILL')
    await process.exited
  }

  signalMember(index: number, signal: NodeJS.Signals): void {
    this.#processAt(index).signal(signal)
  }

  /** All members that run. */
  async ready(): Promise<void> {
    for (const [{ port }, process] of this.#running) {
      await process.waitUntil('is healthy', readyTimeoutMs, async () => await this.#request(port, 'GET', '/health').then(({ status }) => status === 200, () => false))
    }
  }

  /** Through the JSON gateway, as root: without client certificates only. */
  async asRoot(path: string, body: unknown): Promise<Readonly<Record<string, unknown>>> {
    const { port } = this.#memberAt(0)
    const { body: token } = await this.#request(port, 'POST', '/v3/auth/authenticate', { name: 'root', password })
    const { token: text }: { token: string } = JSON.parse(token)
    const { status, body: answer } = await this.#request(port, 'POST', path, body, { authorization: text })
    if (status !== 200) throw new Error(`etcd ${path}: ${status} ${answer}`)
    return JSON.parse(answer)
  }

  #memberAt(index: number): Member {
    const member = this.#members[index]
    if (member === undefined) throw new Error(`no member ${index}`)
    return member
  }

  #processAt(index: number): LabProcess {
    const process = this.#running.get(this.#memberAt(index))
    if (process === undefined) throw new Error(`member ${index} does not run`)
    return process
  }

  async #writeFiles(): Promise<void> {
    await mkdir(this.directory, { recursive: true })
    const server = this.#ca.issue({ commonName: 'root', dnsNames: [serverName], ipAddresses: ['127.0.0.1'], usages: ['server', 'client'] })
    const client = this.#ca.issue({ commonName: user, usages: ['client'] })
    const files = {
      'ca.crt': this.#ca.certificatePem, 'other-ca.crt': createCa('another CA').certificatePem, 'server.crt': server.certificatePem, 'server.key': server.keyPem,
      'client.crt': client.certificatePem, 'client.key': client.keyPem, 'password': `${password}\n`, 'wrong-password': 'guess\n',
    }
    for (const [name, content] of Object.entries(files)) await writeFile(this.file(name), content, { mode: 0o600 })
  }

  async #enableAuthentication(): Promise<void> {
    const options = this.#hasClientCertificates ? { options: { no_password: true } } : { password }
    for (const name of ['root', user]) {
      await this.#post('/v3/auth/user/add', { name, ...options })
      await this.#post('/v3/auth/role/add', { name })
      await this.#post('/v3/auth/user/grant', { user: name, role: name })
    }
    await this.#post('/v3/auth/role/grant', { name: user, perm: { permType: 'READWRITE', key: base64('/sluice/'), range_end: base64('/sluice0') } })
    await this.#post('/v3/auth/enable', {})
  }

  async #post(path: string, body: unknown): Promise<void> {
    const { status, body: answer } = await this.#request(this.#memberAt(0).port, 'POST', path, body)
    if (status !== 200) throw new Error(`etcd ${path}: ${status} ${answer}`)
  }

  async #request(port: number, method: string, path: string, body?: unknown, headers: Readonly<Record<string, string>> = {}): Promise<{ readonly status: number; readonly body: string }> {
    return await httpsRequest({
      port, serverName, caPem: this.#ca.certificatePem, method, path, body, headers,
      ...(this.#hasClientCertificates ? { client: this.#ca.issue({ commonName: 'root', usages: ['client'] }) } : {}),
    })
  }
}

function base64(text: string): string {
  return Buffer.from(text).toString('base64')
}
