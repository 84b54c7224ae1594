// What is made of a gateway's answers: each verdict names the fault and what to do next.

import { refusalAdvice } from '../../core/tunnel/refusal-advice.ts'
import type { ConnectStep } from '../../core/tunnel/agent-observer.ts'
import type { SessionProbe } from '../../tunnel/agent/probe-session.ts'
import { failed, ok, skipped, type Verdict } from './verdict.ts'

/** Certificates and tokens are judged by the clock. */
const clockSkewMsMax = 30_000
const dayMs = 86_400_000
/** Of a certificate's life, below which its renewal seems to have been forgotten. */
const daysLeftMin = 7

/** Of a dial that failed. @param message whole, as a DialError has it */
export function dialVerdict({ step, message, gateway }: { readonly step: ConnectStep; readonly message: string; readonly gateway: string }): Verdict {
  switch (step) {
    case 'name': return failed(message, 'look the name up on this node (getent hosts NAME); mend the name in gateways or proxy.url, or the node’s resolver')
    case 'tcp': {
      if (message.includes('ECONNREFUSED')) return failed(message, 'the machine is there and nothing listens: is it the right port, and does the program run?')
      if (/EHOSTUNREACH|ENETUNREACH/.test(message)) return failed(message, 'this node has no route there: look at its routes (ip route get ADDRESS)')
      return failed(message, 'packets are dropped on the way: a firewall must let this node connect to that address; or set proxy.url, if the network has an HTTP proxy')
    }
    case 'proxy-answer': return failed(message, `whoever runs the proxy must let this node CONNECT to ${gateway}`)
    case 'tls':
    case 'upgrade': return failed(message, tlsAdvice(message))
    default: return step satisfies never
  }
}

function tlsAdvice(message: string): string {
  if (/unrecognized.name/i.test(message)) return 'the gateway does not know this name: put it into the gateway’s tunnel.hostnames, or mend gateways here'
  if (/unsupported.protocol|protocol.version|no.protocols/i.test(message)) return 'what answers does not speak TLS 1.3: no gateway does that, so something in between ends TLS and must let this name pass'
  if (/wrong.version|packet.length|ECONNRESET|before secure/i.test(message)) return 'what answers there does not speak TLS to this node: is it the gateway’s listener? a firewall may also cut TLS that it can’t inspect'
  return 'see what answers there: openssl s_client -connect HOST:PORT -servername HOST'
}

export interface TlsFacts {
  /** Why the certificate is not trusted; undefined: it is. */
  readonly fault: string | undefined
  readonly host: string
  readonly protocol: string
  readonly issuer: string
  /** `DNS:a, IP Address:b` */
  readonly names: string
  readonly validFromMs: number
  readonly validToMs: number
  readonly nowMs: number
  readonly hasCaFile: boolean
}

export function tlsVerdict({ fault, host, protocol, issuer, names, validFromMs, validToMs, nowMs, hasCaFile }: TlsFacts): Verdict {
  const daysLeft = Math.floor((validToMs - nowMs) / dayMs)
  switch (fault) {
    case undefined: {
      if (daysLeft < daysLeftMin) return failed(`${protocol}, and the certificate is trusted, but has ${daysLeft} days left`, 'renew it in the gateway (tunnel.certificate) before agents are locked out')
      return ok(`${protocol}, exporter; certificate of ${issuer}, ${daysLeft} days left`)
    }
    case 'CERT_HAS_EXPIRED': return failed(`the gateway’s certificate expired on ${date(validToMs)}`, 'renew it in the gateway (tunnel.certificate); if the clock below is wrong, set that first')
    case 'CERT_NOT_YET_VALID': return failed(`the gateway’s certificate is valid from ${date(validFromMs)} only`, 'is the clock below wrong? set it; otherwise the certificate was made on a machine whose clock is')
    case 'ERR_TLS_CERT_ALTNAME_INVALID': return failed(`the gateway’s certificate is not for ${host}, but for ${names === '' ? 'no name' : names}`, 'write one of its names into gateways, or give the gateway a certificate for this one')
    default: return failed(`the gateway’s certificate comes from ${issuer}, whom this node does not trust (${fault})`, hasCaFile
      ? 'caFile must hold the authority of the gateway’s certificate; an authority that you don’t know inspects TLS on the way, and must let this name pass'
      : 'set caFile to the authority of the gateway’s certificate; an authority that you don’t know inspects TLS on the way, and must let this name pass')
  }
}

function date(ms: number): string {
  return new Date(ms).toISOString().slice(0, 10)
}

/** @param date the answer's `Date` field, to the second; times of the node's clock */
export function clockVerdict({ date: text, sentMs, receivedMs }: { readonly date: string | undefined; readonly sentMs: number; readonly receivedMs: number }): Verdict {
  const gatewayMs = Date.parse(text ?? '')
  if (Number.isNaN(gatewayMs)) return skipped('the gateway does not tell the time')
  const aheadMs = Math.max(0, sentMs - (gatewayMs + 1_000))
  const behindMs = Math.max(0, gatewayMs - receivedMs)
  const skewMs = Math.max(aheadMs, behindMs)
  const side = aheadMs > 0 ? 'ahead of' : 'behind'
  if (skewMs > clockSkewMsMax) return failed(`this node’s clock is ${Math.round(skewMs / 1_000)} s ${side} the gateway’s`, 'set the clock that is wrong, and keep it (chrony, systemd-timesyncd): certificates and tokens are judged by it')
  return ok(skewMs === 0 ? 'the same as the gateway’s, to the second' : `${(skewMs / 1_000).toFixed(1)} s ${side} the gateway’s`)
}

/** Of `GET /v1/tunnel` without an upgrade, which a gateway answers with 426. */
export function endpointVerdict({ status, upgrade }: { readonly status: number | undefined; readonly upgrade: string | undefined }): Verdict {
  if (status === 426 && upgrade?.toLowerCase() === 'websocket') return ok('a tunnel gateway answers')
  return failed(`what answers is no tunnel gateway: ${status ?? 'nothing'} to GET /v1/tunnel`, 'is the name in gateways one of the gateway’s tunnel.hostnames? another name may lead to an API server or to another program')
}

/** Of something that takes several packets of full size. @param ms undefined: no answer came in time */
export function pathVerdict({ what, ms }: { readonly what: string; readonly ms: number | undefined }): Verdict {
  if (ms !== undefined) return ok(`packets of full size reach the gateway: ${what}, answered in ${ms < 10 ? ms.toFixed(1) : Math.round(ms)} ms`)
  return failed(`small packets pass, and ${what} gets no answer`, 'packets of full size are lost on the way to the gateway (a tunnel or overlay with a smaller MTU, and no ICMP): lower this node’s MTU (ip link set DEVICE mtu 1400), or have the router clamp the MSS')
}

/** @param hasToken a join token is there, which was not used */
export function identityVerdict(probe: SessionProbe, { hasToken }: { readonly hasToken: boolean }): Verdict {
  switch (probe.kind) {
    case 'session': return ok(`the node is let in, and frames cross both ways (round trip ${probe.rttMs < 10 ? probe.rttMs.toFixed(1) : Math.round(probe.rttMs)} ms)`)
    case 'failed': return failed(`no session: ${probe.why}`, 'TLS passes and WebSocket does not: a proxy or firewall on the way must let Upgrade: websocket pass')
    case 'refused': {
      const { why, reason, status } = probe.refusal
      if (reason === 'node-unknown' && hasToken) return ok('the node is not enrolled yet; the agent enrols it with token.file, which was not used up here')
      if (status === 503) return skipped(`the gateway takes no session now (${why}): ${refusalAdvice(reason ?? '') ?? 'try again'}`)
      return failed(`the gateway refuses the node: ${why}`, refusalAdvice(reason ?? '') ?? 'look into the gateway’s log for this node')
    }
    default: return probe satisfies never
  }
}
