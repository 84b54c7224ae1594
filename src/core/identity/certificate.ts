// Who a client certificate says that a node is. Its signature and chain were checked before; here is what its fields must say.
//
//   subject   O = tenant, CN = node name        extendedKeyUsage   clientAuth
//
// Kubernetes names nodes so (O = system:nodes, CN = system:node:NAME): the organization is the group that rights are given to,
// the common name the one who has them. Both are in the subject, which authorities sign as it was asked for, where alternative
// names may be rewritten or refused.

import { namePattern } from '../name.ts'

/** id-kp-clientAuth (RFC 5280 §4.2.1.12). */
const clientAuth = '1.3.6.1.5.5.7.3.2'
/** Of a certificate's text that is repeated in a log. */
const shownMax = 64

export interface CertificateFacts {
  /** Of the subject, in order. */
  readonly organizations: readonly string[]
  readonly commonNames: readonly string[]
  /** Object identifiers; empty: it has no such extension. */
  readonly extendedKeyUsages: readonly string[]
  /** Since 1970. */
  readonly validFromMs: number
  readonly validToMs: number
}

/**
 * The times are looked at here too: a TLS session that is resumed brings its certificate along, and not a new look at it.
 * @returns wrong: what is, in words
 */
export function nodeInCertificate({ organizations, commonNames, extendedKeyUsages, validFromMs, validToMs }: CertificateFacts, nowMs: number): { readonly tenant: string; readonly nodeName: string } | { readonly wrong: string } {
  if (nowMs < validFromMs) return { wrong: 'it is not valid yet' }
  if (nowMs > validToMs) return { wrong: 'it has expired' }
  if (!extendedKeyUsages.includes(clientAuth)) return { wrong: 'its extendedKeyUsage has no clientAuth' }
  const tenant = onlyName('O, the tenant', organizations)
  const nodeName = onlyName('CN, the node’s name', commonNames)
  if (typeof tenant !== 'string') return tenant
  return typeof nodeName === 'string' ? { tenant, nodeName } : nodeName
}

function onlyName(title: string, values: readonly string[]): string | { readonly wrong: string } {
  const [value] = values
  if (value === undefined) return { wrong: `its subject has no ${title}` }
  if (values.length > 1) return { wrong: `its subject has more than one ${title}` }
  return namePattern.test(value) ? value : { wrong: `its subject’s ${title}, is no name: ${JSON.stringify(value.slice(0, shownMax))}` }
}
