// The line of one connection, built by hand: what pino would write for the same fields, at a fraction of its cost. It is most
// of what the end of a short connection costs a relay thread.

import type { ConnectionRecord } from '../core/connection-record.ts'
import type { SocketAddress } from '../core/net/socket-address.ts'
import type { ProxyTlvs } from '../core/proxy-protocol/header.ts'
import { terminationOf } from '../core/termination.ts'
import { JsonLine } from './json-line.ts'
import { logBase } from './log.ts'

/** Characters of a peer's text that are shown. A hostname has at most 253. */
export const textLengthMax = 300

const afterTime = `",${JSON.stringify(logBase).slice(1, -1)},"id":`
const line = new JsonLine()

/**
 * One line with its end. Absent fields were never reached.
 * @param nowMs Unix epoch
 * @returns bytes that are good until the next call
 */
export function formatAccessLine(record: ConnectionRecord, nowMs: number): Uint8Array {
  const { client, downstream, serverName, detail, tenant, node, endpoint, helloMs, connectMs } = record
  line.clear()
  line.ascii('{"level":"info","time":"')
  writtenAt.put(nowMs)
  line.ascii(afterTime)
  line.quoted(record.id)
  line.ascii(',"listener":')
  line.quoted(record.listener)
  line.ascii(',"client":"')
  putAddress(client)
  if (client !== downstream) {
    line.ascii('","downstream":"')
    putAddress(downstream)
  }
  line.ascii('"')
  if (record.proxied !== undefined) putProxied(record.proxied)
  if (serverName !== undefined) {
    line.ascii(',"sni":')
    putPeersText(serverName)
  }
  if (record.encryptedClientHello) line.ascii(',"ech":true')
  if (tenant !== undefined) {
    line.ascii(',"tenant":')
    line.quoted(tenant)
  }
  if (node !== undefined) {
    line.ascii(',"node":')
    line.quoted(node)
  }
  if (endpoint !== undefined) {
    line.ascii(',"endpoint":')
    line.quoted(endpoint)
  }
  line.ascii(',"attempts":')
  line.number(record.attempts)
  line.ascii(',"outcome":"')
  line.ascii(terminationOf(record.reason).outcome)
  line.ascii('","reason":"')
  line.ascii(record.reason)
  if (detail === undefined) {
    line.ascii('"')
  } else {
    line.ascii('","detail":')
    putPeersText(detail)
  }
  line.ascii(',"closedBy":"')
  line.ascii(record.closedBy)
  line.ascii('","acceptedAt":"')
  acceptedAt.put(record.acceptedAtMs)
  line.ascii('"')
  if (helloMs !== undefined) {
    line.ascii(',"helloMs":')
    putMs(helloMs)
  }
  if (connectMs !== undefined) {
    line.ascii(',"connectMs":')
    putMs(connectMs)
  }
  line.ascii(',"totalMs":')
  putMs(record.totalMs)
  line.ascii(',"bytesFromDownstream":')
  line.number(record.bytesFromDownstream)
  line.ascii(',"bytesFromUpstream":')
  line.number(record.bytesFromUpstream)
  line.ascii(',"snapshotVersion":')
  line.number(record.snapshotVersion)
  line.ascii(',"msg":"connection"}\n')
  return line.bytes
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
  #second = NaN
  #untilMs = ''

  put(epochMs: number): void {
    const second = Math.floor(epochMs / 1_000)
    if (second !== this.#second) {
      this.#second = second
      this.#untilMs = new Date(second * 1_000).toISOString().slice(0, -'000Z'.length)
    }
    line.ascii(this.#untilMs)
    line.padded(Math.floor(epochMs) - second * 1_000, 3)
    line.ascii('Z')
  }
}

const writtenAt = new IsoFormat()
const acceptedAt = new IsoFormat()
