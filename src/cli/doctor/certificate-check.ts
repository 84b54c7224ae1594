// The certificate that a node shows in place of a key of its own, as a gateway will judge it; only its authority is not known here.

import { X509Certificate } from 'node:crypto'
import { resolve } from 'node:path'
import { stat } from 'node:fs/promises'
import type { CertificateConfig } from '../../config/agent-schema.ts'
import { nodeInCertificate } from '../../core/identity/certificate.ts'
import { certificateFacts } from '../../tunnel/certificate-facts.ts'
import type { Credentials } from '../../tunnel/agent/credentials.ts'
import { clientCertificate, FileError } from '../agent/files.ts'
import { certificateVerdict } from './node-verdicts.ts'
import { failed, type Check } from './verdict.ts'

/** @returns credentials: undefined where they can't be read */
export async function checkCertificate(config: CertificateConfig, { folder, node }: { readonly folder: string; readonly node: string }): Promise<{ readonly check: Check; readonly credentials: Credentials | undefined }> {
  const name = 'certificate'
  try {
    const read = clientCertificate(config, folder)
    const facts = certificateFacts(new X509Certificate(read().certPem))
    const { mode } = await stat(resolve(folder, config.keyFile))
    const nowMs = Date.now()
    const verdict = certificateVerdict({ ...config, node, keyMode: mode, shown: nodeInCertificate(facts, nowMs), validFromMs: facts.validFromMs, validToMs: facts.validToMs, nowMs })
    return { check: { name, verdict }, credentials: { kind: 'certificate', read } }
  } catch (error) {
    if (!(error instanceof FileError)) throw error
    return { check: { name, verdict: failed(error.message, 'put the node’s certificate and its key there, readable for the agent’s user; or have it enrol with a token (token.file)') }, credentials: undefined }
  }
}
