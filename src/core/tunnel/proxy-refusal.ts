// What an HTTP proxy said in place of a way to the gateway (RFC 9110 §9.3.6, §11.7), in words for whoever runs the node.

export interface ProxyRefusal {
  readonly status: number
  /** Of the answer, each without its end. */
  readonly fields: readonly string[]
  /** What the proxy was asked for, `host:port`. */
  readonly target: string
  readonly sentCredentials: boolean
}

const schemesShownMax = 5

export function describeProxyRefusal({ status, fields, target, sentCredentials }: ProxyRefusal): string {
  switch (status) {
    case 407: return `407: ${credentialsAdvice(schemesIn(fields), sentCredentials)}`
    case 400:
    case 405:
    case 501: return `${status}: it does not take CONNECT, so it is no proxy for this`
    case 403: return `403: it does not allow ${target}: whoever runs it must allow CONNECT to that address`
    case 502:
    case 503: return `${status}: it can't reach ${target}`
    case 504: return `504: it had no answer from ${target}`
    default: return `${status} in answer to CONNECT ${target}`
  }
}

/** We speak Basic (RFC 7617) only. */
function credentialsAdvice(schemes: readonly string[], sentCredentials: boolean): string {
  if (schemes.length > 0 && !schemes.includes('basic')) return `it wants ${schemes.slice(0, schemesShownMax).join(' or ')}; only Basic is spoken here`
  return sentCredentials ? 'it refuses the credentials of proxy.credentialsFile' : 'it wants credentials: put USER:PASSWORD into a file that proxy.credentialsFile names'
}

/** Lower-case names of those that `Proxy-Authenticate` offers; a parameter has its `=` behind its name. */
function schemesIn(fields: readonly string[]): string[] {
  const offers = fields.flatMap((field) => /^proxy-authenticate:(.*)$/i.exec(field)?.[1] ?? [])
  return offers.flatMap((offer) => [...offer.replaceAll(/"[^"]*"/g, '""').matchAll(/(?:^|,)\s*([\w-]{1,40})(?=\s|,|$)(?!\s*=)/g)].map(([, scheme = '']) => scheme.toLowerCase()))
}
