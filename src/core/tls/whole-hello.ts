// The usual ClientHello, at a fifth of what reading it byte by byte costs: whole, in one TLS record, in one piece. What is not
// exactly that, or has anything wrong with it, is `ClientHelloReader`'s to judge; what is read here it reads in the same way.

import { extension, extensionBodyBytesMax, extensionsMax, handshakeTypeClientHello, helloBytesMax, randomBytes, sessionIdBytesMax, type ClientHello } from './client-hello.ts'
import { alpnProtocolsMax, nameTypeHostName, uint16 } from './hello-extensions.ts'
import { NameCache } from './name-cache.ts'
import { contentTypeHandshake, recordBytesMax, versionMajor } from './record-header.ts'

const recordHeaderBytes = 5
const messageHeaderBytes = 4

/** Of the hello in hand: types over 31 that it has had. Those below are bits of a number. */
const otherTypes = new Uint16Array(extensionsMax)
const names = new NameCache()

/** @returns what a route needs of it; undefined: ask `ClientHelloReader` */
export function readWholeHello(bytes: Uint8Array): Pick<ClientHello, 'serverName' | 'encryptedClientHello'> | undefined {
  const start = recordHeaderBytes + messageHeaderBytes
  if (bytes.byteLength < start || bytes[0] !== contentTypeHandshake || bytes[1] !== versionMajor || bytes[recordHeaderBytes] !== handshakeTypeClientHello) return undefined
  const recordBytes = uint16(bytes, 3)
  const end = start + ((bytes[6] ?? 0) << 16) + uint16(bytes, 7)
  const recordEnd = recordHeaderBytes + recordBytes
  if (recordBytes > recordBytesMax || end > recordEnd || recordEnd > bytes.byteLength || end - start > helloBytesMax) return undefined
  const extensionsAt = extensionsIn(bytes, start, end)
  if (extensionsAt === -1) return undefined
  return readExtensions(bytes, extensionsAt, end)
}

/** @returns where the first one begins; -1: the fields before them, or their length, are not as usual */
function extensionsIn(bytes: Uint8Array, start: number, end: number): number {
  if (bytes[start] !== versionMajor) return -1
  let at = start + 2 + randomBytes
  if (at >= end || (bytes[at] ?? 0) > sessionIdBytesMax) return -1
  at += 1 + (bytes[at] ?? 0)
  if (at + 2 > end) return -1
  const suitesBytes = uint16(bytes, at)
  if (suitesBytes < 2 || suitesBytes % 2 !== 0) return -1
  at += 2 + suitesBytes
  if (at >= end || bytes[at] === 0) return -1
  at += 1 + (bytes[at] ?? 0)
  return at + 2 <= end && uint16(bytes, at) === end - at - 2 ? at + 2 : -1
}

function readExtensions(bytes: Uint8Array, start: number, end: number): Pick<ClientHello, 'serverName' | 'encryptedClientHello'> | undefined {
  let serverName: string | undefined
  let encryptedClientHello = false
  let lowTypes = 0
  let others = 0
  let count = 0
  let type = -1
  for (let at = start; at < end; count++) {
    if (type === extension.preSharedKey || count === extensionsMax || at + 4 > end) return undefined
    type = uint16(bytes, at)
    const bodyAt = at + 4
    const bodyEnd = bodyAt + uint16(bytes, at + 2)
    if (bodyEnd > end) return undefined
    if (type < 32) {
      if ((lowTypes & (1 << type)) !== 0) return undefined
      lowTypes |= 1 << type
    } else {
      for (let other = 0; other < others; other++) if (otherTypes[other] === type) return undefined
      otherTypes[others++] = type
    }
    switch (type) {
      case extension.serverName:
        if (!isServerName(bytes, bodyAt, bodyEnd)) return undefined
        serverName = names.text(bytes, bodyAt + 5, bodyEnd)
        break
      case extension.alpn:
        if (!isAlpn(bytes, bodyAt, bodyEnd)) return undefined
        break
      case extension.supportedVersions:
        if (!isSupportedVersions(bytes, bodyAt, bodyEnd)) return undefined
        break
      case extension.encryptedClientHello: encryptedClientHello = true; break
      default: break
    }
    at = bodyEnd
  }
  return serverName === undefined ? { encryptedClientHello } : { serverName, encryptedClientHello }
}

/** One host_name, and nothing else. */
function isServerName(bytes: Uint8Array, at: number, end: number): boolean {
  const byteLength = end - at
  return byteLength > 5 && byteLength <= extensionBodyBytesMax && uint16(bytes, at) === byteLength - 2 && bytes[at + 2] === nameTypeHostName && uint16(bytes, at + 3) === byteLength - 5
}

function isAlpn(bytes: Uint8Array, at: number, end: number): boolean {
  const byteLength = end - at
  if (byteLength < 4 || byteLength > extensionBodyBytesMax || uint16(bytes, at) !== byteLength - 2) return false
  let protocols = 0
  let next = at + 2
  while (next < end) {
    if (bytes[next] === 0 || protocols === alpnProtocolsMax) return false
    next += 1 + (bytes[next] ?? 0)
    protocols += 1
  }
  return next === end
}

function isSupportedVersions(bytes: Uint8Array, at: number, end: number): boolean {
  const listBytes = end - at - 1
  return listBytes >= 2 && listBytes % 2 === 0 && bytes[at] === listBytes
}
