// Calls of etcd, to whichever of its members answers: one after the other, each for a while, until the call's time is over. A member that
// failed gets a new connection at its next turn, for which the files of TLS are read anew; a token that has expired is asked for again.

import { readFile } from 'node:fs/promises'
import { isIP } from 'node:net'
import { setTimeout as delay } from 'node:timers/promises'
import { checkServerIdentity } from 'node:tls'
import { Client, credentials, Metadata, status, type CallOptions, type ClientDuplexStream, type ServiceError } from '@grpc/grpc-js'
import { StoreUnavailableError } from '../store.ts'
import { methods, type Method } from './etcd-api.ts'
import { Slots } from './slots.ts'

/** For all the tries of one call, once it has its turn. */
const callMs = 10_000
/** For one member to answer. */
const attemptMs = 2_500
/** Tries of one call, tokens that were refused included. */
const attemptsMax = 50
/** Once every member was asked; with each round twice as long, up to the last. */
const pauseMsMin = 50
const pauseMsMax = 1_000
const responseBytesMax = 32 * 1024 * 1024

/** grpc-js would send an address as server name, which RFC 6066 §3 forbids and Node refuses; it must send one. The certificate is held to the address. */
const nameOfAddresses = 'address.invalid'

const channelOptions = {
  // A member that has vanished without a word is noticed; etcd allows a ping each 5 s.
  'grpc.keepalive_time_ms': 10_000,
  'grpc.keepalive_timeout_ms': 5_000,
  'grpc.max_receive_message_length': responseBytesMax,
  'grpc.service_config_disable_resolution': 1,
  // Repeating is decided here, with what the call may have done already in mind.
  'grpc.enable_retries': 0,
  // No proxy of the environment: what is configured is what is dialled.
  'grpc.enable_http_proxy': 0,
  'grpc.use_local_subchannel_pool': 1,
} as const

export interface MembersOptions {
  /** HOST:PORT, one or more. */
  readonly endpoints: readonly string[]
  /** Paths. */
  readonly caFile: string | undefined
  readonly certificate: { readonly certFile: string; readonly keyFile: string } | undefined
  readonly user: { readonly name: string; readonly passwordFile: string } | undefined
}

export interface Answer<Response> {
  readonly response: Response
  /** An earlier try got no answer, and may have been carried out. */
  readonly isRepeated: boolean
}

interface CallLimits {
  readonly callMs?: number
  readonly attemptMs?: number
  /** Before each try. */
  readonly trying?: () => void
}

/** What one try takes, as far as it has come: whoever fails later must not spoil what others have found since. */
interface Turn {
  readonly endpoint: string
  token: Promise<string> | undefined
}

export interface OpenStream<Of> {
  readonly stream: Of extends Method<infer Request, infer Response> ? ClientDuplexStream<Request, Response> : never
  /** The next turn is another member's, or another token's. */
  failed(error: unknown): void
}

export class Members {
  readonly #options: MembersOptions
  /** By endpoint; absent: it failed, or was not needed yet. */
  readonly #clients = new Map<string, Promise<Client>>()
  readonly #slots = new Slots()
  #current = 0
  #token: Promise<string> | undefined
  #isClosed = false

  constructor(options: MembersOptions) {
    this.#options = options
  }

  /** As errors name it. */
  get name(): string {
    return `etcd at ${this.#options.endpoints.join(', ')}`
  }

  /**
   * @throws {StoreUnavailableError} none answered in time
   * @throws {ServiceError} etcd's refusal
   */
  async call<Request, Response>({ path, serialize, deserialize }: Method<Request, Response>, request: Request, limits?: CallLimits): Promise<Answer<Response>> {
    return await this.#slots.run(async () => await this.#try(limits, async (client, metadata, options) => await new Promise((resolve, reject) => {
      client.makeUnaryRequest(path, serialize, deserialize, request, metadata, options, (error, response) => {
        if (error !== null) reject(error)
        else if (response !== undefined) resolve(response)
      })
    })))
  }

  /** Of a method with streams: requests, and the responses to them. It waits for no other call. @throws as `call` */
  async callEach<Request, Response>(method: Method<Request, Response>, requests: readonly Request[], limits?: CallLimits): Promise<readonly Response[]> {
    const { response: responses } = await this.#try(limits, async (client, metadata, options) => await new Promise<readonly Response[]>((resolve, reject) => {
      const stream = open(client, method, metadata, options)
      const found: Response[] = []
      stream.on('error', reject)
      stream.on('data', (response: Response) => {
        found.push(response)
        if (found.length < requests.length) return
        resolve(found)
        stream.end()
      })
      stream.on('end', () => reject(new StoreUnavailableError(`${this.name} ended ${method.path} without an answer`)))
      for (const request of requests) stream.write(request)
    }))
    return responses
  }

  /** At the current member. One that loses its leader ends it. */
  async stream<Request, Response>(method: Method<Request, Response>): Promise<OpenStream<Method<Request, Response>>> {
    const turn = this.#turn()
    try {
      const client = await this.#clientOf(turn.endpoint)
      const metadata = await this.#metadata(turn, client, attemptMs)
      metadata.set('hasleader', 'true')
      return { stream: open(client, method, metadata, {}), failed: (error) => this.#failed(turn, error) }
    } catch (error) {
      this.#failed(turn, error)
      throw error
    }
  }

  close(): void {
    this.#isClosed = true
    for (const endpoint of this.#clients.keys()) this.#drop(endpoint)
  }

  async #try<Response>(limits: CallLimits | undefined, attempt: (client: Client, metadata: Metadata, options: CallOptions) => Promise<Response>): Promise<Answer<Response>> {
    const wholeMs = limits?.callMs ?? callMs
    const untilMs = performance.now() + wholeMs
    const failures = new Map<string, string>()
    let isRepeated = false
    for (let attempts = 1; ; attempts++) {
      const turn = this.#turn()
      const timeoutMs = Math.max(1, Math.min(limits?.attemptMs ?? attemptMs, untilMs - performance.now()))
      try {
        const client = await this.#clientOf(turn.endpoint)
        const metadata = await this.#metadata(turn, client, timeoutMs)
        limits?.trying?.()
        return { response: await attempt(client, metadata, { deadline: Date.now() + timeoutMs }), isRepeated }
      } catch (error) {
        if (isRefusal(error)) throw error
        if (!isOfToken(error)) isRepeated = true
        failures.set(turn.endpoint, reasonOf(error))
        this.#failed(turn, error)
      }
      const members = this.#options.endpoints.length
      const pauseMs = attempts % members === 0 ? Math.min(pauseMsMax, pauseMsMin * 2 ** (attempts / members - 1)) : 0
      if (this.#isClosed || attempts >= attemptsMax || performance.now() + pauseMs >= untilMs) {
        throw new StoreUnavailableError(`no member of etcd answers: ${[...failures].map(([member, why]) => `${member}: ${why}`).join('; ')}; expected one of them to answer within ${Math.round(wholeMs)} ms`)
      }
      await delay(pauseMs)
    }
  }

  #turn(): Turn {
    return { endpoint: this.#endpoint, token: undefined }
  }

  #failed({ endpoint, token }: Turn, error: unknown): void {
    if (isOfToken(error)) {
      if (this.#token === token) this.#token = undefined
    } else if (endpoint === this.#endpoint) {
      this.#drop(endpoint)
      this.#current += 1
    }
  }

  get #endpoint(): string {
    const { endpoints } = this.#options
    return endpoints[this.#current % endpoints.length] ?? ''
  }

  async #clientOf(endpoint: string): Promise<Client> {
    let client = this.#clients.get(endpoint)
    if (client === undefined) {
      client = this.#connect(endpoint)
      this.#clients.set(endpoint, client)
    }
    return await client
  }

  #drop(endpoint: string): void {
    this.#clients.get(endpoint)?.then((client) => client.close(), () => undefined)
    this.#clients.delete(endpoint)
  }

  async #connect(endpoint: string): Promise<Client> {
    const { caFile, certificate } = this.#options
    const [ca, cert, key] = await Promise.all([caFile, certificate?.certFile, certificate?.keyFile].map(async (file) => file === undefined ? null : await readFile(file)))
    const host = endpoint.slice(0, endpoint.lastIndexOf(':')).replace(/^\[|\]$/g, '')
    if (isIP(host) === 0) return new Client(endpoint, credentials.createSsl(ca, key, cert), channelOptions)
    const verified = credentials.createSsl(ca, key, cert, { checkServerIdentity: (_, presented) => checkServerIdentity(host, presented) })
    return new Client(endpoint, verified, { ...channelOptions, 'grpc.ssl_target_name_override': nameOfAddresses })
  }

  async #metadata(turn: Turn, client: Client, timeoutMs: number): Promise<Metadata> {
    const metadata = new Metadata()
    const { user } = this.#options
    if (user === undefined) return metadata
    const token = this.#token ??= this.#authenticate(client, user, timeoutMs)
    turn.token = token
    try {
      metadata.set('token', await token)
    } catch (error) {
      if (this.#token === token) this.#token = undefined
      throw error
    }
    return metadata
  }

  async #authenticate(client: Client, { name, passwordFile }: NonNullable<MembersOptions['user']>, timeoutMs: number): Promise<string> {
    const password = (await readFile(passwordFile, 'utf8')).trimEnd()
    const { path, serialize, deserialize } = methods.authenticate
    return await new Promise((resolve, reject) => {
      client.makeUnaryRequest(path, serialize, deserialize, { name, password }, new Metadata(), { deadline: Date.now() + timeoutMs }, (error, response) => {
        if (error !== null) reject(error)
        else resolve(response?.token ?? '')
      })
    })
  }
}

function open<Request, Response>(client: Client, { path, serialize, deserialize }: Method<Request, Response>, metadata: Metadata, options: CallOptions): ClientDuplexStream<Request, Response> {
  return client.makeBidiStreamRequest(path, serialize, deserialize, metadata, options)
}

export function isServiceError(error: unknown): error is ServiceError {
  return error instanceof Error && 'code' in error && 'details' in error && typeof error.details === 'string'
}

/** Another member, or the same one later, may answer otherwise. */
const passingCodes: ReadonlySet<unknown> = new Set([status.UNAVAILABLE, status.DEADLINE_EXCEEDED, status.CANCELLED, status.UNKNOWN, status.INTERNAL, status.ABORTED])

/** etcd has understood, and says no. */
function isRefusal(error: unknown): error is ServiceError {
  return isServiceError(error) && !passingCodes.has(error.code) && !isOfToken(error) && error.details !== 'etcdserver: too many requests'
}

/** It was good once: simple tokens expire, are lost when their member restarts, and grow old when users or roles change. */
function isOfToken(error: unknown): boolean {
  return error instanceof Error && /invalid auth token|revision of auth store is old|auth token is not provided/.test(error.message)
}

export function reasonOf(error: unknown): string {
  // What is told around it by grpc-js says nothing.
  if (isServiceError(error)) return /^No connection established\. Last error: (?:Error: )?(.*?)\.? Resolution note: $/s.exec(error.details)?.[1] ?? error.details
  return error instanceof Error ? error.message : String(error)
}
