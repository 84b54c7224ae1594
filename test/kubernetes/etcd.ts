// One etcd for all tenants, as hosted clusters have it: every client shows a certificate, and authentication is on. The
// certificate's common name is the etcd user, and a user reads and writes the keys below its tenant's prefix only.
//
// The users are made through etcd's JSON gateway (POST /v3/auth/…) before authentication is switched on: afterwards a
// request through the gateway has no identity, because etcd takes none from the certificate that it relays with.

import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { createCa, type CertificateAuthority, type IssuedCertificate } from '../../src/cli/demo/certificates.ts'
import { httpsRequest, type HttpsResponse } from './https-request.ts'
import { LabProcess } from '../support/lab-process.ts'
import { freePort } from '../../bench/free-port.ts'

const serverName = 'localhost'
const readyTimeoutMs = 60_000

/** What an API server needs to use its part of the store: kube-apiserver's --etcd-… flags. */
export interface EtcdAccess {
  readonly arguments_: readonly string[]
}

export class Etcd {
  readonly #directory: string
  readonly #ca: CertificateAuthority
  readonly #setup: IssuedCertificate
  readonly #port: number
  readonly #process: LabProcess

  private constructor(directory: string, ca: CertificateAuthority, port: number, process_: LabProcess) {
    this.#directory = directory
    this.#ca = ca
    this.#setup = ca.issue({ commonName: 'root', usages: ['client'] })
    this.#port = port
    this.#process = process_
  }

  static async start({ executable, directory, tenants }: {
    executable: string
    directory: string
    tenants: readonly string[]
  }): Promise<Etcd> {
    const ca = createCa('lab etcd CA')
    // etcd's JSON gateway dials etcd itself with the server's certificate, so that has both usages.
    const server = ca.issue({
      commonName: 'etcd',
      dnsNames: [serverName],
      ipAddresses: ['127.0.0.1'],
      usages: ['server', 'client'],
    })
    const file = (name: string): string => join(directory, `etcd-${name}`)
    await mkdir(directory, { recursive: true })
    await writeFile(file('ca.crt'), ca.certificatePem)
    await writeFile(file('server.crt'), server.certificatePem)
    await writeFile(file('server.key'), server.keyPem, { mode: 0o600 })

    const [port, peerPort] = [await freePort(), await freePort()]
    const clientUrl = `https://127.0.0.1:${port}`
    const peerUrl = `http://127.0.0.1:${peerPort}`
    const process_ = new LabProcess({
      name: 'etcd',
      executable,
      directory,
      arguments_: [
        '--name=lab',
        `--data-dir=${file('data')}`,
        `--listen-client-urls=${clientUrl}`,
        `--advertise-client-urls=${clientUrl}`,
        `--listen-peer-urls=${peerUrl}`,
        `--initial-advertise-peer-urls=${peerUrl}`,
        `--initial-cluster=lab=${peerUrl}`,
        `--cert-file=${file('server.crt')}`,
        `--key-file=${file('server.key')}`,
        `--trusted-ca-file=${file('ca.crt')}`,
        '--client-cert-auth',
        // The store lives as long as the tests: durability would only slow it down.
        '--unsafe-no-fsync',
      ],
    })
    const etcd = new Etcd(directory, ca, port, process_)
    try {
      await process_.waitUntil('is healthy', readyTimeoutMs, async () =>
        await etcd.#request('GET', '/health').then(({ status }) => status === 200, () => false))
      await etcd.#enableAuthentication(tenants)
    } catch (error) {
      await process_.stop()
      throw error
    }
    return etcd
  }

  /** Writes the tenant's client certificate. */
  async access(tenant: string): Promise<EtcdAccess> {
    const client = this.#ca.issue({ commonName: tenant, usages: ['client'] })
    const certificateFile = join(this.#directory, `etcd-client-${tenant}.crt`)
    const keyFile = join(this.#directory, `etcd-client-${tenant}.key`)
    await writeFile(certificateFile, client.certificatePem)
    await writeFile(keyFile, client.keyPem, { mode: 0o600 })
    return {
      arguments_: [
        `--etcd-servers=https://127.0.0.1:${this.#port}`,
        `--etcd-prefix=${prefixOf(tenant)}`,
        `--etcd-cafile=${join(this.#directory, 'etcd-ca.crt')}`,
        `--etcd-certfile=${certificateFile}`,
        `--etcd-keyfile=${keyFile}`,
        // Its key lies outside the prefixes, and compaction is the store's own business when tenants share it.
        '--etcd-compaction-interval=0',
      ],
    }
  }

  async stop(): Promise<void> {
    await this.#process.stop()
  }

  async logTail(): Promise<string> {
    return await this.#process.logTail()
  }

  async #enableAuthentication(tenants: readonly string[]): Promise<void> {
    await this.#addUser('root')
    for (const tenant of tenants) {
      await this.#addUser(tenant)
      await this.#post('/v3/auth/role/grant', {
        name: tenant,
        // The end is exclusive: '0' is the character after '/'.
        perm: { permType: 'READWRITE', key: base64(`${prefixOf(tenant)}/`), range_end: base64(`${prefixOf(tenant)}0`) },
      })
    }
    await this.#post('/v3/auth/enable', {})
    const anonymous = await this.#request('POST', '/v3/kv/range', { key: base64(prefixOf(tenants[0] ?? '')) })
    if (anonymous.status === 200) throw new Error(`etcd answers without an identity: ${anonymous.body}`)
  }

  /** A user without a password, who has the role of the same name: only a certificate can speak for it. */
  async #addUser(name: string): Promise<void> {
    await this.#post('/v3/auth/user/add', { name, options: { no_password: true } })
    await this.#post('/v3/auth/role/add', { name })
    await this.#post('/v3/auth/user/grant', { user: name, role: name })
  }

  async #post(path: string, body: unknown): Promise<void> {
    const response = await this.#request('POST', path, body)
    if (response.status !== 200) throw new Error(`etcd ${path}: ${response.status} ${response.body}`)
  }

  async #request(method: string, path: string, body?: unknown): Promise<HttpsResponse> {
    return await httpsRequest({
      port: this.#port,
      serverName,
      caPem: this.#ca.certificatePem,
      client: this.#setup,
      method,
      path,
      body,
    })
  }
}

function prefixOf(tenant: string): string {
  return `/tenants/${tenant}`
}

function base64(text: string): string {
  return Buffer.from(text).toString('base64')
}
