// What clients of an API server are told: where it is, whom to trust, and who they are.

import type { IssuedCertificate } from '../../src/cli/demo/certificates.ts'

export interface KubeconfigOptions {
  /** https://host:port */
  readonly server: string
  /** @default the host of `server`, which is not sent if it is an IP */
  readonly serverName?: string
  readonly caPem: string
  readonly client: IssuedCertificate
}

/** @returns a whole file, in JSON, which is YAML */
export function kubeconfig({ server, serverName, caPem, client }: KubeconfigOptions): string {
  return JSON.stringify({
    'apiVersion': 'v1',
    'kind': 'Config',
    'clusters': [{
      name: 'lab',
      cluster: {
        server,
        ...(serverName === undefined ? {} : { 'tls-server-name': serverName }),
        'certificate-authority-data': base64(caPem),
      },
    }],
    'users': [{
      name: 'lab',
      user: { 'client-certificate-data': base64(client.certificatePem), 'client-key-data': base64(client.keyPem) },
    }],
    'contexts': [{ name: 'lab', context: { cluster: 'lab', user: 'lab' } }],
    'current-context': 'lab',
  })
}

function base64(text: string): string {
  return Buffer.from(text).toString('base64')
}
