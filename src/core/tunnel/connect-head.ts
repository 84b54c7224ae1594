// The head of a stream: an HTTP/1.1 CONNECT (RFC 9110 §9.3.6) and its answer, whose status is the real result of the dial.
//
//   CONNECT host:port HTTP/1.1 CRLF … CRLF CRLF │ early data      HTTP/1.1 200 OK CRLF … CRLF CRLF │ data
//
// A head comes cut anywhere. What follows it is handed on untouched, from the first byte on.

/** kube-apiserver's is some 80 bytes. */
export const connectHeadBytesMax = 8 * 1024

/** Of an answer's first line. */
const reasonCharactersMax = 200

/** 403 not allowed · 502 refused or unreachable · 503 nobody to dial · 504 no answer in time */
export type ConnectStatus = 200 | 400 | 403 | 502 | 503 | 504

const reasonPhrase: Readonly<Record<ConnectStatus, string>> = {
  200: 'OK', 400: 'Bad Request', 403: 'Forbidden', 502: 'Bad Gateway', 503: 'Service Unavailable', 504: 'Gateway Timeout',
}

const encoder = new TextEncoder()
const decoder = new TextDecoder('latin1')

/** @param fields header lines, each without its end */
export function encodeConnectRequest(target: string, fields: readonly string[] = []): Uint8Array {
  return encoder.encode(`${[`CONNECT ${target} HTTP/1.1`, `Host: ${target}`, ...fields].join('\r\n')}\r\n\r\n`)
}

/** @param reason in place of the status's own phrase: kube-apiserver logs the status line, and nothing else of an answer */
export function encodeConnectAnswer(status: ConnectStatus, reason: string = reasonPhrase[status]): Uint8Array {
  return encoder.encode(`HTTP/1.1 ${status} ${reason.replaceAll(/[^\x20-\x7e]/g, '?').slice(0, reasonCharactersMax)}\r\n\r\n`)
}

export type HeadResult =
  /** @property fields the lines behind the first, each without its end */
  | { readonly kind: 'head'; readonly firstLine: string; readonly fields: readonly string[]; readonly rest: Uint8Array }
  | { readonly kind: 'malformed'; readonly detail: string }

/** Shared: streams that wait for hours keep their readers. */
const nothing = new Uint8Array(0)

/** Collects a head. */
export class ConnectHeadReader {
  #bytes: Uint8Array = nothing

  /** @returns undefined while the head is not whole; after a result it must not be pushed to again */
  push(bytes: Uint8Array): HeadResult | undefined {
    const before = this.#bytes.length
    const all = before === 0 ? bytes : joined(this.#bytes, bytes)
    const end = endOfHead(all, Math.max(0, before - 3))
    this.#bytes = nothing
    if (end === -1 || end > connectHeadBytesMax) {
      if (all.length > connectHeadBytesMax) return { kind: 'malformed', detail: `a head of over ${connectHeadBytesMax} bytes` }
      this.#bytes = all.slice()
      return undefined
    }
    if (!isText(all, end)) return { kind: 'malformed', detail: 'a head with bytes that are no text' }
    const [firstLine = '', ...fields] = decoder.decode(all.subarray(0, end - 4)).split('\r\n')
    return { kind: 'head', firstLine, fields, rest: all.subarray(end) }
  }
}

/** @returns the target, `host:port`; undefined for what is no CONNECT */
export function connectTargetIn(firstLine: string): string | undefined {
  return /^CONNECT ([A-Za-z0-9.:[\]_-]{1,261}:\d{1,5}) HTTP\/1\.[01]$/.exec(firstLine)?.[1]
}

/** @returns undefined for what is no answer */
export function connectAnswerIn(firstLine: string): { readonly status: number; readonly reason: string } | undefined {
  const [, status, reason = ''] = /^HTTP\/1\.[01] (\d{3})(?: (.*))?$/.exec(firstLine) ?? []
  return status === undefined ? undefined : { status: Number(status), reason: reason.slice(0, reasonCharactersMax) }
}

/** Behind the empty line. */
function endOfHead(bytes: Uint8Array, from: number): number {
  for (let at = from; at + 3 < bytes.length; at++) {
    if (bytes[at] === 13 && bytes[at + 1] === 10 && bytes[at + 2] === 13 && bytes[at + 3] === 10) return at + 4
  }
  return -1
}

/** Printable ASCII, tabs and the ends of lines. */
function isText(bytes: Uint8Array, end: number): boolean {
  for (let at = 0; at < end; at++) {
    const byte = bytes[at] ?? 0
    if ((byte < 32 && byte !== 13 && byte !== 10 && byte !== 9) || byte > 126) return false
  }
  return true
}

function joined(first: Uint8Array, second: Uint8Array): Uint8Array {
  const all = new Uint8Array(first.length + second.length)
  all.set(first, 0)
  all.set(second, first.length)
  return all
}
