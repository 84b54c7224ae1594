// A request's body as JSON, of a bounded size. How long it may take to come is the server's to bound.

import type { IncomingMessage } from 'node:http'

export type JsonBody =
  | { readonly kind: 'json'; readonly value: unknown }
  | { readonly kind: 'refused'; readonly status: 400 | 413; readonly error: string }

/** @returns undefined: the client has left */
export async function readJsonBody(request: IncomingMessage, bytesMax: number): Promise<JsonBody | undefined> {
  const tooLarge: JsonBody = { kind: 'refused', status: 413, error: `a body of more than ${bytesMax} bytes` }
  if (Number(request.headers['content-length'] ?? 0) > bytesMax) return tooLarge
  const chunks: Buffer[] = []
  let bytes = 0
  try {
    // Destroyed, it would take its socket along, and nobody would be told.
    for await (const chunk of request.iterator({ destroyOnReturn: false }) as AsyncIterable<Buffer>) {
      bytes += chunk.byteLength
      if (bytes > bytesMax) return tooLarge
      chunks.push(chunk)
    }
  } catch {
    return undefined
  }
  try {
    return { kind: 'json', value: JSON.parse(Buffer.concat(chunks).toString('utf8')) }
  } catch (error) {
    return { kind: 'refused', status: 400, error: `the body is no JSON: ${error instanceof Error ? error.message : String(error)}` }
  }
}
