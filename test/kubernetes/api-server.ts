// One tenant's real kube-apiserver: own authorities, own prefix and user in the shared etcd, one loopback port. It is
// restarted on the same port and store, as a control plane's pod would come back behind its NodePort.
//
// Its audit log has every watch of ConfigMaps, one line when it starts and one when it ends: the API server's own word on
// whether a client's watch was one connection or several.

import { generateKeyPairSync } from 'node:crypto'
import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { createCa, type CertificateAuthority, type IssuedCertificate } from '../../src/cli/demo/certificates.ts'
import type { EtcdAccess } from './etcd.ts'
import { freePort } from '../../bench/free-port.ts'
import { httpsRequest, type HttpsResponse } from './https-request.ts'
import { LabProcess } from '../support/lab-process.ts'

/** Eight seconds on an idle machine; three of them start at once, perhaps while something else is built. */
const readyTimeoutMs = 240_000

const auditPolicy = `apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
  - { level: Metadata, verbs: [watch], resources: [{ group: "", resources: [configmaps] }] }
  - { level: None }
`

/** Nodes and services are `cluster`; webhooks with a URL are `controlplane`. */
const egressSelection = (socket: string): string => `apiVersion: apiserver.k8s.io/v1beta1
kind: EgressSelectorConfiguration
egressSelections:
${['cluster', 'controlplane'].map((name) => `  - name: ${name}
    connection: { proxyProtocol: HTTPConnect, transport: { uds: { udsName: ${socket} } } }
`).join('')}`

/** Where the tenant's nodes and pods find it: an agent listens there. */
export interface Advertised {
  /** No loopback. Its port there is the API server's own. */
  readonly address: string
}

export interface ApiServerOptions {
  readonly tenant: string
  readonly hostname: string
  readonly executable: string
  readonly directory: string
  readonly etcd: EtcdAccess
  /** Where it listens. @default '127.0.0.1', and a free port */
  readonly listen?: { readonly address: string; readonly port: number }
  /** @default no one learns where it is, and there are no nodes */
  readonly advertised?: Advertised
  /** The Unix socket by which it reaches its nodes. @default it dials them itself */
  readonly egressSocket?: string
  /** One more API server of the same control plane: whom it trusts, and what it signs with, are that one's. */
  readonly replicaOf?: ApiServer
  /** From a signal to end, when /readyz fails, to the close of its port. @default 0 */
  readonly shutdownDelaySeconds?: number
}

/** The first address of the range of services: pods and kube-proxy know the API server by it. */
export const serviceAddress = '10.96.0.1'

export class ApiServer {
  readonly tenant: string
  readonly hostname: string
  readonly address: string
  readonly port: number
  readonly admin: IssuedCertificate
  readonly adminName: string
  readonly #ca: CertificateAuthority
  /** In PEM; it signs the tokens of service accounts. */
  readonly #signingKey: string
  readonly #options: ApiServerOptions
  #process: LabProcess | undefined

  private constructor(options: ApiServerOptions, port: number) {
    this.tenant = options.tenant
    this.hostname = options.hostname
    this.address = options.listen?.address ?? '127.0.0.1'
    this.port = port
    this.#options = options
    const { replicaOf } = options
    this.#ca = replicaOf === undefined ? createCa(`${options.tenant} CA`) : replicaOf.#ca
    this.#signingKey = replicaOf === undefined ? generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey.export({ type: 'sec1', format: 'pem' }) : replicaOf.#signingKey
    this.adminName = `${options.tenant}-admin`
    this.admin = this.issueClient(this.adminName, 'system:masters')
  }

  /** Writes its files; nothing runs before `start`. */
  static async create(options: ApiServerOptions): Promise<ApiServer> {
    const server = new ApiServer(options, options.listen?.port ?? await freePort())
    await server.#writeFiles()
    return server
  }

  get caPem(): string {
    return this.#ca.certificatePem
  }

  /** A certificate for one more user. */
  issueClient(commonName: string, organization?: string): IssuedCertificate {
    return this.#ca.issue({ commonName, ...(organization === undefined ? {} : { organization }), usages: ['client'] })
  }

  /** A certificate for one of its nodes' servers. */
  issueServer(names: { readonly dnsNames?: readonly string[]; readonly ipAddresses?: readonly string[] }): IssuedCertificate {
    return this.#ca.issue({ commonName: 'server', ...names, usages: ['server'] })
  }

  /** One request on a new connection, as the tenant's administrator. A body goes as JSON. */
  async request(path: string, { method = 'GET', body }: { readonly method?: string; readonly body?: unknown } = {}): Promise<HttpsResponse> {
    return await httpsRequest({
      address: this.address, port: this.port, serverName: this.hostname, caPem: this.caPem, client: this.admin, method, path, body,
    })
  }

  /** Begins it, and waits until it is ready. */
  async start(): Promise<void> {
    const process_ = new LabProcess({
      name: 'kube-apiserver',
      executable: this.#options.executable,
      arguments_: this.#arguments(),
      directory: this.#options.directory,
    })
    this.#process = process_
    await process_.waitUntil('is ready', readyTimeoutMs, async () => await this.request('/readyz').then(({ status }) => status === 200, () => false))
  }

  /** SIGTERM: it is not ready from now on, and ends when it has drained. */
  beginStop(): void {
    this.#process?.signal('SIGTERM')
  }

  async waitForExit(timeoutMs: number): Promise<void> {
    await this.#process?.waitForExit(timeoutMs)
  }

  /** kill -9: its connections are reset, and nothing is drained. */
  async kill(): Promise<void> {
    this.#process?.signal('SIGKILL')
    await this.#process?.exited
  }

  async stop(): Promise<void> {
    await this.#process?.stop()
  }

  async logTail(): Promise<string> {
    return await this.#process?.logTail() ?? `--- ${this.tenant}: not started`
  }

  /**
   * What the audit log has on kubectl's watches of one ConfigMap: `ResponseStarted`, and at its end `ResponseComplete`,
   * for each.
   */
  async watchStages(configMap: string): Promise<string[]> {
    return (await this.watchEvents(configMap)).map(({ stage }) => stage)
  }

  /** The same, with times. */
  async watchEvents(configMap: string): Promise<readonly WatchEvent[]> {
    const events: WatchEvent[] = []
    for (const line of (await readFile(this.#file('audit.log'), 'utf8')).split('\n')) {
      if (line === '') continue
      const { stage, stageTimestamp, userAgent, objectRef, responseStatus }: AuditEvent = JSON.parse(line)
      if (userAgent?.startsWith('kubectl/') === true && objectRef?.name === configMap) events.push({ stage, at: stageTimestamp, code: responseStatus?.code ?? 0 })
    }
    return events
  }

  #file(name: string): string {
    return join(this.#options.directory, name)
  }

  async #writeFiles(): Promise<void> {
    const { advertised } = this.#options
    const serving = this.#ca.issue({
      commonName: this.hostname,
      dnsNames: [this.hostname, ...(advertised === undefined ? [] : ['kubernetes', 'kubernetes.default', 'kubernetes.default.svc'])],
      ipAddresses: [this.address, ...(advertised === undefined ? [] : [advertised.address, serviceAddress])],
      usages: ['server'],
    })
    await mkdir(this.#options.directory, { recursive: true })
    await writeFile(this.#file('ca.crt'), this.caPem)
    await writeFile(this.#file('serving.crt'), serving.certificatePem)
    await writeFile(this.#file('serving.key'), serving.keyPem, { mode: 0o600 })
    await writeFile(this.#file('service-account.key'), this.#signingKey, { mode: 0o600 })
    await writeFile(this.#file('audit-policy.yaml'), auditPolicy)
    const { egressSocket } = this.#options
    if (egressSocket === undefined) return
    const kubeletClient = this.issueClient('kube-apiserver-kubelet-client', 'system:masters')
    await writeFile(this.#file('kubelet-client.crt'), kubeletClient.certificatePem)
    await writeFile(this.#file('kubelet-client.key'), kubeletClient.keyPem, { mode: 0o600 })
    const proxyClient = this.issueClient('front-proxy-client')
    await writeFile(this.#file('proxy-client.crt'), proxyClient.certificatePem)
    await writeFile(this.#file('proxy-client.key'), proxyClient.keyPem, { mode: 0o600 })
    await writeFile(this.#file('egress.yaml'), egressSelection(egressSocket))
  }

  #arguments(): string[] {
    const { advertised } = this.#options
    return [
      ...this.#options.etcd.arguments_,
      `--bind-address=${this.address}`,
      `--secure-port=${this.port}`,
      `--shutdown-delay-duration=${this.#options.shutdownDelaySeconds ?? 0}s`,
      // A documentation address (RFC 5737): loopback is refused here, and without a reconciler nobody learns it.
      `--advertise-address=${advertised?.address ?? '192.0.2.1'}`,
      // The lease kind: as where several replicas share the address.
      `--endpoint-reconciler-type=${advertised === undefined ? 'none' : 'lease'}`,
      `--external-hostname=${this.hostname}`,
      `--tls-cert-file=${this.#file('serving.crt')}`,
      `--tls-private-key-file=${this.#file('serving.key')}`,
      `--client-ca-file=${this.#file('ca.crt')}`,
      `--service-account-issuer=https://${this.hostname}`,
      `--service-account-key-file=${this.#file('service-account.key')}`,
      `--service-account-signing-key-file=${this.#file('service-account.key')}`,
      '--service-cluster-ip-range=10.96.0.0/16',
      '--authorization-mode=Node,RBAC',
      `--audit-policy-file=${this.#file('audit-policy.yaml')}`,
      `--audit-log-path=${this.#file('audit.log')}`,
      ...(this.#options.egressSocket === undefined ? [] : [
        `--egress-selector-config-file=${this.#file('egress.yaml')}`,
        `--kubelet-client-certificate=${this.#file('kubelet-client.crt')}`,
        `--kubelet-client-key=${this.#file('kubelet-client.key')}`,
        `--kubelet-certificate-authority=${this.#file('ca.crt')}`,
        '--kubelet-preferred-address-types=InternalIP',
        `--proxy-client-cert-file=${this.#file('proxy-client.crt')}`,
        `--proxy-client-key-file=${this.#file('proxy-client.key')}`,
        `--requestheader-client-ca-file=${this.#file('ca.crt')}`,
        '--requestheader-allowed-names=front-proxy-client',
        '--requestheader-username-headers=X-Remote-User',
      ]),
    ]
  }
}

interface WatchEvent {
  readonly stage: string
  readonly at: string
  readonly code: number
}

interface AuditEvent {
  readonly stage: string
  readonly stageTimestamp: string
  readonly responseStatus?: { readonly code?: number }
  readonly userAgent?: string
  readonly objectRef?: { readonly name?: string }
}
