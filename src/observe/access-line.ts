// The line of one connection, built by hand: what pino would write for the same fields, at a third of its cost. It is most
// of what the end of a short connection costs a relay thread.

import type { ConnectionRecord } from '../core/connection-record.ts'
import { formatSocketAddress } from '../core/net/socket-address.ts'
import type { ProxyTlvs } from '../core/proxy-protocol/header.ts'
import { terminationOf } from '../core/termination.ts'
import { logBase } from './log.ts'

/** Characters of a peer's text that are shown. A hostname has at most 253. */
export const textLengthMax = 300

const base = JSON.stringify(logBase).slice(1, -1)

/**
 * One line with its end. Absent fields were never reached.
 * @param nowMs Unix epoch
 */
export function formatAccessLine(record: ConnectionRecord, nowMs: number): string {
  const { client, downstream, serverName, detail, tenant, node, endpoint, helloMs, connectMs } = record
  let line = `{"level":"info","time":"${writtenAt.format(nowMs)}",${base},"id":${quoted(record.id)}`
  line += `,"listener":${quoted(record.listener)},"client":"${formatSocketAddress(client)}"`
  if (client !== downstream) line += `,"downstream":"${formatSocketAddress(downstream)}"`
  if (record.proxied !== undefined) line += proxiedFields(record.proxied)
  if (serverName !== undefined) line += `,"sni":${quotedOfPeer(serverName)}`
  if (record.encryptedClientHello) line += ',"ech":true'
  if (tenant !== undefined) line += `,"tenant":${quoted(tenant)}`
  if (node !== undefined) line += `,"node":"${node}"`
  if (endpoint !== undefined) line += `,"endpoint":${quoted(endpoint)}`
  line += `,"attempts":${record.attempts},"outcome":"${terminationOf(record.reason).outcome}","reason":"${record.reason}"`
  if (detail !== undefined) line += `,"detail":${quotedOfPeer(detail)}`
  line += `,"closedBy":"${record.closedBy}","acceptedAt":"${acceptedAt.format(record.acceptedAtMs)}"`
  if (helloMs !== undefined) line += `,"helloMs":${roundMs(helloMs)}`
  if (connectMs !== undefined) line += `,"connectMs":${roundMs(connectMs)}`
  line += `,"totalMs":${roundMs(record.totalMs)},"bytesFromDownstream":${record.bytesFromDownstream}`
  return `${line},"bytesFromUpstream":${record.bytesFromUpstream},"snapshotVersion":${record.snapshotVersion},"msg":"connection"}\n`
}

/** What a PROXY header told beside the addresses. */
function proxiedFields({ authority, uniqueId, alpn, ssl }: ProxyTlvs): string {
  const field = (name: string, text: string | undefined): string => text === undefined ? '' : `,"${name}":${quotedOfPeer(text)}`
  const certificate = ssl?.clientCertificate === true ? `client certificate ${ssl.commonName ?? ''} ${ssl.verified ? 'verified' : 'not verified'}` : undefined
  return field('proxyAuthority', authority)
    + field('proxyUniqueId', uniqueId === undefined ? undefined : String.fromCharCode(...uniqueId))
    + field('proxyAlpn', alpn)
    + field('proxyTls', ssl?.clientSsl === true ? [ssl.version, ssl.cipher, certificate].filter((part) => part !== undefined).join(', ') : undefined)
}

/**
 * Text of a peer as printable ASCII: a byte outside it, a backslash and a quote become `\xNN` (`\uNNNN` above Latin-1), so
 * that no viewer takes one for a new line, a new field or a terminal's command. What is longer than `textLengthMax` is cut
 * and ends in `...`.
 */
export function escapeText(text: string): string {
  if (text.length <= textLengthMax && plain.test(text)) return text
  const escaped = text.slice(0, textLengthMax).replace(/[^ -~]|["\\]/g, (character) => {
    const code = character.charCodeAt(0)
    return code > 0xff ? `\\u${code.toString(16).padStart(4, '0')}` : `\\x${code.toString(16).padStart(2, '0')}`
  })
  return text.length > textLengthMax ? `${escaped}...` : escaped
}

/** Printable ASCII without a quote or a backslash: what JSON leaves as it is. */
const plain = /^[ !#-[\]-~]*$/

/** What JSON.stringify gives; nearly all text of a line is plain. */
function quoted(text: string): string {
  return plain.test(text) ? `"${text}"` : JSON.stringify(text)
}

function quotedOfPeer(text: string): string {
  return text.length <= textLengthMax && plain.test(text) ? `"${text}"` : JSON.stringify(escapeText(text))
}

/** To the microsecond, as the number would be written: V8 writes a whole one at a tenth of the cost. */
function roundMs(ms: number): string {
  const us = Math.round(ms * 1_000)
  return us >= 0 ? `${Math.floor(us / 1_000)}${thousandths[us % 1_000]}` : `${us / 1_000}`
}

/** '', '.001', … '.999', without zeros at their end. */
const thousandths = Array.from({ length: 1_000 }, (_, us) => String(us / 1_000).slice(1))

/** ISO 8601. Most times of one kind are in the same second, and a Date would cost as much as the rest of a line. */
class IsoFormat {
  #second = NaN
  #untilMs = ''

  format(epochMs: number): string {
    const second = Math.floor(epochMs / 1_000)
    if (second !== this.#second) {
      this.#second = second
      this.#untilMs = new Date(second * 1_000).toISOString().slice(0, -'000Z'.length)
    }
    return `${this.#untilMs}${milliseconds[Math.floor(epochMs) - second * 1_000]}Z`
  }
}

const milliseconds = Array.from({ length: 1_000 }, (_, ms) => ms.toString().padStart(3, '0'))
const writtenAt = new IsoFormat()
const acceptedAt = new IsoFormat()
