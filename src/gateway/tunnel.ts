// The tunnel in a gateway: its store, its certificate, its observer, and connections that the relay's driver hands over.

import { readFile } from 'node:fs/promises'
import type { Socket } from 'node:net'
import { dirname, resolve } from 'node:path'
import { createSecureContext } from 'node:tls'
import type { Settings, TunnelConfig } from '../config/config.ts'
import type { SnapshotChange } from '../core/snapshot.ts'
import type { TunnelGauges } from '../core/tunnel/tunnel-observer.ts'
import type { Logger } from '../observe/log.ts'
import type { Observation } from '../observe/observation.ts'
import type { HandedOver } from '../relay/driver.ts'
import { socketOf } from '../relay/linux/handed-over-socket.ts'
import { FileStore } from '../state/file/file-store.ts'
import { Identities } from '../state/identities.ts'
import { TunnelGateway, type Certificate } from '../tunnel/gateway/tunnel-gateway.ts'

const noGauges: TunnelGauges = { sessions: 0, streams: 0, windowGrowthBytes: 0, windowGrowthRefusals: 0 }

export interface TunnelOptions {
  readonly settings: Settings
  readonly configFile: string
  readonly logger: Logger
}

/** A file of the certificate can't be read or used: the message names it. */
class CertificateError extends Error {
  readonly code = 'CERTIFICATE'
}

/**
 * @returns undefined where the configuration has no tunnel
 * @throws {StoreUnavailableError | CertificateError}
 */
export async function openTunnel({ settings, configFile, logger }: TunnelOptions): Promise<Tunnel | undefined> {
  const { tunnel, state } = settings
  if (tunnel === undefined) return undefined
  const folder = dirname(configFile)
  const certificate = await readCertificate(tunnel, folder)
  const store = await FileStore.open(resolve(folder, state.directory))
  return await Tunnel.open({ tunnel, certificate, folder, store, logger })
}

interface TunnelParts {
  readonly tunnel: TunnelConfig
  readonly certificate: Certificate
  /** That relative paths begin at. */
  readonly folder: string
  readonly store: FileStore
  readonly logger: Logger
}

export class Tunnel {
  readonly #folder: string
  readonly #store: FileStore
  readonly #logger: Logger
  readonly #parts: Pick<TunnelParts, 'tunnel' | 'certificate'>
  readonly #identities: Identities
  #gateway: TunnelGateway | undefined
  #watch: { close(): void } | undefined

  private constructor({ tunnel, certificate, folder, store, logger }: TunnelParts) {
    this.#parts = { tunnel, certificate }
    this.#folder = folder
    this.#store = store
    this.#logger = logger
    this.#identities = new Identities(store)
  }

  static async open(parts: TunnelParts): Promise<Tunnel> {
    const tunnel = new Tunnel(parts)
    tunnel.#watch = await tunnel.#identities.watchRevocations(
      (keyId) => tunnel.#gateway?.revoke(keyId),
      (error) => tunnel.#logger.error({ error: String(error) }, 'whether a node was revoked can not be read'),
    )
    return tunnel
  }

  /** Once, before the driver accepts. */
  observe(observation: Observation): void {
    const { tunnel: { handshakesPerSecond }, certificate } = this.#parts
    this.#gateway = new TunnelGateway({
      certificate, handshakesPerSecond,
      admit: async (claim) => await this.#identities.admit(claim),
      isRevoked: async (keyId) => await this.#identities.isRevoked(keyId),
      observer: observation.observeTunnel(() => this.#gateway?.gauges() ?? noGauges),
    })
  }

  publish(change: SnapshotChange): void {
    this.#gateway?.publish(change)
  }

  /** From a driver of this thread. */
  takeSocket({ head }: HandedOver, socket: Socket): void {
    socket.unshift(head)
    this.#take(socket)
  }

  /** From a driver's worker. */
  takeDescriptor({ head }: HandedOver, fd: number): void {
    this.#take(socketOf(fd, head))
  }

  /** @throws {CertificateError} and then the one before goes on */
  async reload(tunnel: TunnelConfig): Promise<void> {
    this.#gateway?.setCertificate(await readCertificate(tunnel, this.#folder))
  }

  async drain(): Promise<void> {
    await this.#gateway?.drain()
  }

  async stop(): Promise<void> {
    this.#watch?.close()
    await this.#gateway?.stop()
    this.#store.close()
  }

  #take(socket: Socket): void {
    if (this.#gateway === undefined) socket.destroy()
    else this.#gateway.take(socket)
  }
}

async function readCertificate({ certificate: { certFile, keyFile } }: TunnelConfig, folder: string): Promise<Certificate> {
  const read = async (key: string, file: string): Promise<string> => {
    try {
      return await readFile(resolve(folder, file), 'utf8')
    } catch (error) {
      throw new CertificateError(`tunnel.certificate.${key}: ${error instanceof Error ? error.message : String(error)}`, { cause: error })
    }
  }
  const certificate = { certPem: await read('certFile', certFile), keyPem: await read('keyFile', keyFile) }
  try {
    createSecureContext({ cert: certificate.certPem, key: certificate.keyPem })
  } catch (error) {
    throw new CertificateError(`tunnel.certificate: ${certFile} and ${keyFile} can't be used: ${error instanceof Error ? error.message : String(error)}`, { cause: error })
  }
  return certificate
}
