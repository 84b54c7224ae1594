// The line of one connection, built by hand: what pino would write for the same fields, at a fraction of its cost. It is most
// of what the end of a short connection costs a relay thread.

import type { ConnectionRecord } from '../core/connection-record.ts'
import type { SocketAddress } from '../core/net/socket-address.ts'
import type { ProxyTlvs } from '../core/proxy-protocol/header.ts'
import { terminations, type TerminationReason } from '../core/termination.ts'
import { JsonLine, Literal } from './json-line.ts'
import { logBase } from './log.ts'

/** Characters of a peer's text that are shown. A hostname has at most 253. */
export const textLengthMax = 300

const line = new JsonLine()

/** Between the fields, in their order. */
const text = {
  listener: new Literal(',"listener":'),
  client: new Literal(',"client":"'),
  downstream: new Literal('","downstream":"'),
  serverName: new Literal(',"sni":'),
  encryptedClientHello: new Literal(',"ech":true'),
  tenant: new Literal(',"tenant":'),
  node: new Literal(',"node":'),
  endpoint: new Literal(',"endpoint":'),
  attempts: new Literal(',"attempts":'),
  detail: new Literal(',"detail":'),
  closedBy: {
    downstream: new Literal(',"closedBy":"downstream","acceptedAt":"'),
    upstream: new Literal(',"closedBy":"upstream","acceptedAt":"'),
    gateway: new Literal(',"closedBy":"gateway","acceptedAt":"'),
  },
  helloMs: new Literal(',"helloMs":'),
  connectMs: new Literal(',"connectMs":'),
  totalMs: new Literal(',"totalMs":'),
  bytesFromDownstream: new Literal(',"bytesFromDownstream":'),
  bytesFromUpstream: new Literal(',"bytesFromUpstream":'),
  snapshotVersion: new Literal(',"snapshotVersion":'),
  end: new Literal(',"msg":"connection"}\n'),
}
const reasons = new Map(Object.entries(terminations).map(([reason, { outcome }]) => [reason, new Literal(`,"outcome":"${outcome}","reason":"${reason}"`)]))

/**
 * One line with its end. Absent fields were never reached.
 * @param nowMs Unix epoch
 * @returns bytes that are good until the next call
 */
export function formatAccessLine(record: ConnectionRecord, nowMs: number): Uint8Array {
  const { client, downstream, serverName, detail, tenant, node, endpoint, helloMs, connectMs } = record
  line.clear()
  writtenAt.put(nowMs)
  line.quoted(record.id)
  line.literal(text.listener)
  line.quoted(record.listener)
  line.literal(text.client)
  putAddress(client)
  if (client !== downstream) {
    line.literal(text.downstream)
    putAddress(downstream)
  }
  line.ascii('"')
  if (record.proxied !== undefined) putProxied(record.proxied)
  if (serverName !== undefined) {
    line.literal(text.serverName)
    putPeersText(serverName)
  }
  if (record.encryptedClientHello) line.literal(text.encryptedClientHello)
  if (tenant !== undefined) {
    line.literal(text.tenant)
    line.quoted(tenant)
  }
  if (node !== undefined) {
    line.literal(text.node)
    line.quoted(node)
  }
  if (endpoint !== undefined) {
    line.literal(text.endpoint)
    line.quoted(endpoint)
  }
  line.literal(text.attempts)
  line.number(record.attempts)
  line.literal(reasonText(record.reason))
  if (detail !== undefined) {
    line.literal(text.detail)
    putPeersText(detail)
  }
  line.literal(text.closedBy[record.closedBy])
  acceptedAt.put(record.acceptedAtMs)
  if (helloMs !== undefined) {
    line.literal(text.helloMs)
    putMs(helloMs)
  }
  if (connectMs !== undefined) {
    line.literal(text.connectMs)
    putMs(connectMs)
  }
  line.literal(text.totalMs)
  putMs(record.totalMs)
  line.literal(text.bytesFromDownstream)
  line.number(record.bytesFromDownstream)
  line.literal(text.bytesFromUpstream)
  line.number(record.bytesFromUpstream)
  line.literal(text.snapshotVersion)
  line.number(record.snapshotVersion)
  line.literal(text.end)
  return line.bytes
}

function reasonText(reason: TerminationReason): Literal {
  const found = reasons.get(reason)
  if (found === undefined) throw new Error(`bug: ${reason} is no reason`)
  return found
}

/** As `formatSocketAddress` writes it. */
function putAddress({ address, port }: SocketAddress): void {
  const bracketed = address.includes(':')
  if (bracketed) line.ascii('[')
  line.ascii(address)
  line.ascii(bracketed ? ']:' : ':')
  line.number(port)
}

/** What a PROXY header told beside the addresses. */
function putProxied({ authority, uniqueId, alpn, ssl }: ProxyTlvs): void {
  const put = (name: string, text: string | undefined): void => {
    if (text === undefined) return
    line.ascii(`,"${name}":`)
    putPeersText(text)
  }
  const certificate = ssl?.clientCertificate === true ? `client certificate ${ssl.commonName ?? ''} ${ssl.verified ? 'verified' : 'not verified'}` : undefined
  put('proxyAuthority', authority)
  put('proxyUniqueId', uniqueId === undefined ? undefined : String.fromCharCode(...uniqueId))
  put('proxyAlpn', alpn)
  put('proxyTls', ssl?.clientSsl === true ? [ssl.version, ssl.cipher, certificate].filter((part) => part !== undefined).join(', ') : undefined)
}

function putPeersText(text: string): void {
  if (text.length > textLengthMax || !line.quotedIfPlain(text)) line.quoted(escapeText(text))
}

/**
 * Text of a peer as printable ASCII: a byte outside it, a backslash and a quote become `\xNN` (`\uNNNN` above Latin-1), so
 * that no viewer takes one for a new line, a new field or a terminal's command. What is longer than `textLengthMax` is cut
 * and ends in `...`.
 */
export function escapeText(text: string): string {
  const escaped = text.slice(0, textLengthMax).replace(/[^ -~]|["\\]/g, (character) => {
    const code = character.charCodeAt(0)
    return code > 0xff ? `\\u${code.toString(16).padStart(4, '0')}` : `\\x${code.toString(16).padStart(2, '0')}`
  })
  return text.length > textLengthMax ? `${escaped}...` : escaped
}

/** To the microsecond, as the number would be written. */
function putMs(ms: number): void {
  const us = Math.round(ms * 1_000)
  if (!Number.isSafeInteger(us) || us < 0) {
    line.ascii(String(us / 1_000))
    return
  }
  line.number(Math.floor(us / 1_000))
  let fraction = us % 1_000
  if (fraction === 0) return
  let digits = 3
  while (fraction % 10 === 0) {
    fraction /= 10
    digits -= 1
  }
  line.ascii('.')
  line.padded(fraction, digits)
}

/** ISO 8601. Most times of one kind are in the same second, and a Date would cost as much as the rest of a line. */
class IsoFormat {
  readonly #before: string
  readonly #after: Literal
  #second = NaN
  #untilMs = new Literal('')

  /** @param after begins with the Z of UTC */
  constructor(before: string, after: string) {
    this.#before = before
    this.#after = new Literal(after)
  }

  put(epochMs: number): void {
    const second = Math.floor(epochMs / 1_000)
    if (second !== this.#second) {
      this.#second = second
      this.#untilMs = new Literal(this.#before + new Date(second * 1_000).toISOString().slice(0, -'000Z'.length))
    }
    line.literal(this.#untilMs)
    line.padded(Math.floor(epochMs) - second * 1_000, 3)
    line.literal(this.#after)
  }
}

const writtenAt = new IsoFormat('{"level":"info","time":"', `Z",${JSON.stringify(logBase).slice(1, -1)},"id":`)
const acceptedAt = new IsoFormat('', 'Z"')
