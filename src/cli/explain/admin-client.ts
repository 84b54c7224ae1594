// Asks a running gateway's admin API.

import { readFile } from 'node:fs/promises'
import { request, type RequestOptions } from 'node:http'
import { request as tlsRequest } from 'node:https'

const answerMsMax = 5_000
const answerBytesMax = 16 * 1024 * 1024

export interface AdminPlace {
  /** `http://…`, `https://…`, or the path of a Unix socket. */
  readonly admin: string
  readonly tokenFile?: string | undefined
  /** Absent: the authorities that Node has. */
  readonly caFile?: string | undefined
}

export interface AdminAnswer {
  readonly status: number
  readonly body: unknown
}

/** @throws an error that says why there is no answer */
export async function askAdmin({ admin, tokenFile, caFile }: AdminPlace, path: string): Promise<AdminAnswer> {
  const url = /^https?:\/\//.test(admin) ? new URL(admin) : undefined
  const token = tokenFile === undefined ? undefined : (await readFile(tokenFile, 'utf8')).trim()
  const ca = caFile === undefined ? undefined : await readFile(caFile, 'utf8')
  const where = url === undefined ? { socketPath: admin } : { host: url.hostname.replace(/^\[(.*)\]$/, '$1'), port: url.port === '' ? (url.protocol === 'https:' ? 443 : 80) : Number(url.port) }
  const options: RequestOptions = { ...where, path, agent: false, signal: AbortSignal.timeout(answerMsMax), ...(token === undefined ? {} : { headers: { authorization: `Bearer ${token}` } }) }
  return await new Promise((resolve, reject) => {
    const asked = url?.protocol === 'https:' ? tlsRequest({ ...options, ...(ca === undefined ? {} : { ca }) }) : request(options)
    asked.on('error', reject)
    asked.on('response', (response) => {
      let text = ''
      response.setEncoding('utf8')
      response.on('data', (chunk: string) => {
        text += chunk
        if (text.length > answerBytesMax) response.destroy(new Error(`an answer of over ${answerBytesMax} bytes`))
      })
      response.on('error', reject)
      response.on('end', () => resolve({ status: response.statusCode ?? 0, body: parsed(text) }))
    })
    asked.end()
  })
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}
