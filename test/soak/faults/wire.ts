// What client and backend say to each other beside the bytes that are compared.
//
//   client  ─▶ ClientHello with the backend's plan as its last extension: JSON, then its length in two bytes
//   backend ─▶ 'A' | backend 1 | generation 2 | connection 4, then its bytes
//
// An answer that begins otherwise is a TLS alert of the gateway's.

import { buildClientHello, handshakeOf, splitIntoRecords } from '../../core/tls/hello-builder.ts'
import type { BackendPlan, HelloPlan } from './plan.ts'

/** Of those that IANA has not given out. */
const fillerExtension = 0xf0f0
const planExtension = 0xf0f1
const recordHeaderBytes = 5
const handshakeHeaderBytes = 4

export interface BackendInstance {
  readonly index: number
  /** How often it has been started. */
  readonly generation: number
}

export function helloWith(serverName: string, { fillerBytes, recordBytes }: HelloPlan, plan?: BackendPlan): Buffer {
  const json = Buffer.from(plan === undefined ? '' : JSON.stringify(plan))
  const length = Buffer.alloc(2)
  length.writeUInt16BE(json.byteLength)
  const hello = buildClientHello({
    serverName,
    extensions: [{ type: fillerExtension, body: Buffer.alloc(fillerBytes, 0xee) }, { type: planExtension, body: Buffer.concat([json, length]) }],
  })
  return splitIntoRecords(hello, recordBytes)
}

/** @returns undefined until the hello is whole */
export function readHello(bytes: Buffer): { readonly plan: BackendPlan | undefined; readonly helloBytes: number } | undefined {
  let haveBytes = 0
  let needBytes = Infinity
  for (let offset = 0; offset + recordHeaderBytes <= bytes.byteLength;) {
    const recordBytes = bytes.readUInt16BE(offset + 3)
    const end = offset + recordHeaderBytes + recordBytes
    if (end > bytes.byteLength) return undefined
    haveBytes += recordBytes
    if (haveBytes >= handshakeHeaderBytes && needBytes === Infinity) needBytes = handshakeHeaderBytes + handshakeOf(bytes.subarray(0, end)).readUIntBE(1, 3)
    if (haveBytes >= needBytes) {
      const handshake = handshakeOf(bytes.subarray(0, end))
      const jsonBytes = handshake.readUInt16BE(handshake.byteLength - 2)
      const json = handshake.subarray(handshake.byteLength - 2 - jsonBytes, -2).toString()
      const plan: BackendPlan | undefined = json === '' ? undefined : JSON.parse(json)
      return { plan, helloBytes: end }
    }
    offset = end
  }
  return undefined
}

export const answerHeaderBytes = 8
export const answerMark = 'A'.charCodeAt(0)
export const alertBytes = 7

export function answerHeader({ index, generation }: BackendInstance, id: number): Buffer {
  const header = Buffer.alloc(answerHeaderBytes)
  header.writeUInt8(answerMark)
  header.writeUInt8(index, 1)
  header.writeUInt16BE(generation, 2)
  header.writeUInt32BE(id, 4)
  return header
}

export function readAnswerHeader(bytes: Buffer): BackendInstance & { readonly id: number } {
  return { index: bytes.readUInt8(1), generation: bytes.readUInt16BE(2), id: bytes.readUInt32BE(4) }
}
