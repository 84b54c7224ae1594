// A tenant of the demo as its clients see it: a name, an authority that only this tenant's API server has a certificate
// of, and an administrator's client certificate. Its files are what curl and kubectl are pointed at.

import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { type CertificateAuthority, createCa, type IssuedCertificate } from './certificates.ts'
import { hostnameOf, loopback, type TenantName } from './layout.ts'

export interface Tenant {
  readonly name: TenantName
  readonly hostname: string
  /** Of its API server. */
  readonly port: number
  /** The authority's common name. */
  readonly caName: string
  readonly ca: CertificateAuthority
  readonly serving: IssuedCertificate
  readonly admin: IssuedCertificate
  readonly files: TenantFiles
}

/** Absolute paths. */
interface TenantFiles {
  readonly directory: string
  readonly ca: string
  readonly adminCertificate: string
  readonly adminKey: string
  readonly servingCertificate: string
  readonly servingKey: string
  readonly kubeconfig: string
}

/** Makes its certificates, and writes them below `directory`. */
export async function createTenant({ name, port, gatewayPort, directory }: {
  name: TenantName
  port: number
  gatewayPort: number
  directory: string
}): Promise<Tenant> {
  const hostname = hostnameOf(name)
  const caName = `${name} CA`
  const ca = createCa(caName)
  const serving = ca.issue({ commonName: hostname, dnsNames: [hostname, `*.${hostname}`], ipAddresses: [loopback], usages: ['server'] })
  const admin = ca.issue({ commonName: `${name}-admin`, organization: 'system:masters', usages: ['client'] })
  const file = (fileName: string): string => join(directory, name, fileName)
  const files: TenantFiles = {
    directory: join(directory, name),
    ca: file('ca.crt'),
    adminCertificate: file('admin.crt'),
    adminKey: file('admin.key'),
    servingCertificate: file('serving.crt'),
    servingKey: file('serving.key'),
    kubeconfig: file('kubeconfig'),
  }
  await mkdir(files.directory, { mode: 0o700 })
  const texts: readonly (readonly [string, string])[] = [
    [files.ca, ca.certificatePem],
    [files.adminCertificate, admin.certificatePem],
    [files.adminKey, admin.keyPem],
    [files.servingCertificate, serving.certificatePem],
    [files.servingKey, serving.keyPem],
    [files.kubeconfig, kubeconfig({ name, hostname, gatewayPort, files })],
  ]
  await Promise.all(texts.map(([path, text]) => writeFile(path, text, { mode: 0o600 })))
  return { name, hostname, port, caName, ca, serving, admin, files }
}

/** `tls-server-name` is what client-go sends as SNI and looks for in the certificate: no DNS is needed. */
function kubeconfig({ name, hostname, gatewayPort, files }: {
  name: string
  hostname: string
  gatewayPort: number
  files: TenantFiles
}): string {
  return `apiVersion: v1
kind: Config
clusters:
  - name: ${name}
    cluster:
      server: https://${loopback}:${gatewayPort}
      tls-server-name: ${hostname}
      certificate-authority: ${files.ca}
users:
  - name: ${name}-admin
    user: { client-certificate: ${files.adminCertificate}, client-key: ${files.adminKey} }
contexts:
  - name: ${name}
    context: { cluster: ${name}, user: ${name}-admin }
current-context: ${name}
`
}
