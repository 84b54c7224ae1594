// The gateway: one configuration file, one driver, one admin server, and what happens to them over time.
//
//   start ─▶ ready ⇄ reload (a bad file changes nothing) ─▶ drain: not ready → grace → listeners closed → connections end
//                                                        └▶ stop: everything ends now
//
// A reload is all or nothing: new listeners are bound first, and if one can't be, the running snapshot stays whole.

import { dirname } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { isDeepStrictEqual } from 'node:util'
import { listenerSpecs, tunnelHostnames, type ConfigChange } from '../config/change.ts'
import type { ListenerConfig, TunnelConfig } from '../config/config.ts'
import { ConfigError, formatProblem, type ConfigProblem } from '../config/config-error.ts'
import { endpointRowsMax } from '../core/balance/active-counts.ts'
import { EndpointRows } from '../core/balance/endpoint-rows.ts'
import { SnapshotMemory } from '../core/snapshot-memory.ts'
import { LimitRows } from '../core/limit/limit-rows.ts'
import { formatSocketAddress, type SocketAddress } from '../core/net/socket-address.ts'
import type { ListenerSpec } from '../core/snapshot.ts'
import type { AdminEvent } from '../observe/admin/server.ts'
import type { LastReload, SnapshotStatus } from '../observe/admin/snapshot-status.ts'
import { LineBudget } from '../observe/line-budget.ts'
import type { Logger } from '../observe/log.ts'
import type { SnapshotFacts } from '../observe/metrics.ts'
import type { Observation } from '../observe/observation.ts'
import { programVersion } from '../observe/program-version.ts'
import type { ListenOptions, RelayDriver } from '../relay/driver.ts'
import { openStore } from '../state/open-store.ts'
import type { Store } from '../state/store.ts'
import { readAdminEntries } from './admin/entries.ts'
import { connectionRoutes } from './admin/connection-routes.ts'
import { endpointRoutes } from './admin/endpoint-routes.ts'
import { AdminServers } from './admin/servers.ts'
import { tenantRoutes } from './admin/tenant-routes.ts'
import { ConfigThread, type ConfigFacts, type ConfigUpdate } from './config-thread.ts'
import { Drains } from './drains.ts'
import { GatewayEndpoints } from './endpoints.ts'
import { FileWatcher } from './file-watcher.ts'
import { LiveConnections } from './live-connections.ts'
import { createRelay, type Relay } from './relay-driver.ts'
import { StoredTenants } from './stored-tenants.ts'
import { openTunnel, type Tunnel } from './tunnel.ts'

export interface GatewayOptions {
  readonly configFile: string
  readonly env: Readonly<Record<string, string | undefined>>
  readonly logger: Logger
}

export interface BoundListener {
  /** The address as written in the configuration. */
  readonly name: string
  readonly address: SocketAddress
}

interface GatewayParts {
  readonly config: ConfigFacts
  readonly thread: ConfigThread
  readonly watcher: FileWatcher
  readonly relay: Relay
  readonly tunnel: Tunnel | undefined
  readonly tenants: StoredTenants | undefined
  readonly store: Store | undefined
}

export type ReloadResult =
  | { readonly kind: 'reloaded'; readonly version: number }
  /** The running snapshot stays. */
  | { readonly kind: 'kept'; readonly reason: string }

/**
 * Loads the file, binds every listener and the admin address, and watches the file.
 * @throws {ConfigError} with every problem of the file
 * @throws an error that names the address that can't be bound
 */
export async function startGateway(options: GatewayOptions): Promise<Gateway> {
  let changedEarly = false
  let changed = (): void => {
    changedEarly = true
  }
  const watcher = new FileWatcher({ file: options.configFile, onChange: () => changed() })
  const thread = new ConfigThread({
    file: options.configFile,
    env: options.env,
    onDeath: ({ message }) => options.logger.error({ error: message }, 'the next reload reads the whole file'),
  })
  let [store, tenants, tunnel]: [Store | undefined, StoredTenants | undefined, Tunnel | undefined] = [undefined, undefined, undefined]
  const close = async (): Promise<void> => {
    await tunnel?.stop()
    tenants?.close()
    await store?.close()
    watcher.close()
    thread.close()
  }
  let storeChanged = (): void => {
    changedEarly = true
  }
  let update: ConfigUpdate
  let relay: Relay
  try {
    update = await thread.load()
    const { settings } = update
    const { state } = settings
    const hasStoredTenants = state.kind === 'etcd' && state.tenants === true
    if (settings.tunnel !== undefined || hasStoredTenants) store = await openStore(state, dirname(options.configFile))
    if (store !== undefined && hasStoredTenants) {
      tenants = await StoredTenants.open({ store, thread, changed: () => storeChanged() })
      update = await thread.refresh()
    }
    tunnel = await openTunnel({ settings, store, configFile: options.configFile, logger: options.logger })
    relay = await createRelay(settings.relay, { tunnel, logger: options.logger, version: programVersion(), sources: { snapshot: () => gateway.snapshotFacts } })
  } catch (error) {
    await close()
    throw error
  }
  const gateway: Gateway = new Gateway(options, { config: update, thread, watcher, relay, tunnel, tenants, store })
  try {
    await gateway.start(update)
  } catch (error) {
    await gateway.stop()
    throw error
  }
  changed = () => void gateway.reload('file changed')
  storeChanged = () => void gateway.refresh('tenants of the store changed')
  if (changedEarly) changed()
  return gateway
}

/** The system does not let us have an address. */
class BindError extends Error {
  readonly code = 'BIND'

  constructor(what: string, address: SocketAddress, cause: unknown) {
    super(`${what} ${formatSocketAddress(address)} can't be bound: ${cause instanceof Error ? cause.message : String(cause)}`, { cause })
  }
}

export class Gateway {
  readonly #options: GatewayOptions
  readonly #logger: Logger
  readonly #driver: RelayDriver
  readonly #tunnel: Tunnel | undefined
  readonly #observation: Observation
  readonly #rows: EndpointRows
  /** Their states, and the operator's say in them. */
  readonly endpoints: GatewayEndpoints
  readonly #thread: ConfigThread
  readonly #limitRows: LimitRows
  #config: ConfigFacts
  #version = 0
  /** Listeners of which it was told that they only reset. */
  #toldToReset = ''
  #publishedAtMs = Date.now()
  #phase: 'starting' | 'ready' | 'draining' = 'starting'
  #bound = new Map<string, SocketAddress>()
  readonly #admin: AdminServers
  /** For the admin API. */
  readonly #published = new SnapshotMemory()
  readonly #drains: Drains
  readonly #adminRefusalLines = new LineBudget<'refused'>({ linesPerSecond: adminRefusalLinesPerSecond, linesBurst: adminRefusalLinesBurst })
  readonly #watcher: FileWatcher
  readonly #tenants: StoredTenants | undefined
  readonly #store: Store | undefined
  /** Lines of the log about tenants of the store, that were written already. */
  #refused: ReadonlySet<string> = new Set()
  /** What the next reload is for; otherwise the tenants of the store alone have changed. */
  #fileMayHaveChanged = false
  #lastReload: LastReload | undefined
  /** Reloads run one after the other; one more that waits covers every request made meanwhile. */
  #reloading: Promise<ReloadResult> | undefined
  #nextReload: Promise<ReloadResult> | undefined
  /** The part of a reload that binds: a drain and a stop wait for it, or it would open what they have just closed. */
  #applying: Promise<void> | undefined
  #crashes = 0
  readonly #stopping = new AbortController()

  constructor(options: GatewayOptions, { config: { settings, tenantCount, hostnameCount }, thread, watcher, relay: { driver, observation, active, admission }, tunnel, tenants, store }: GatewayParts) {
    this.#tunnel = tunnel
    tunnel?.begin({ observation, driver, active, admission })
    this.#rows = new EndpointRows(active)
    this.endpoints = new GatewayEndpoints({ cells: active, logger: options.logger, metrics: observation.metrics, folder: dirname(options.configFile) })
    this.#limitRows = new LimitRows(admission.tables)
    this.#options = options
    this.#thread = thread
    this.#watcher = watcher
    this.#logger = options.logger
    this.#config = { settings, tenantCount, hostnameCount }
    this.#driver = driver
    this.#tenants = tenants
    this.#store = store
    this.#observation = observation
    const live = new LiveConnections(() => [...driver.live, ...tunnel?.live ?? []])
    this.#drains = new Drains({
      live,
      ended: ({ what, ...facts }) => this.#logger.info({ drain: what, ...facts }, 'drain over'),
      failed: (error, context) => observation.driverError(error, context),
    })
    observation.metrics.observeDrains(() => this.#drains.figures)
    this.#admin = new AdminServers({
      readyWhen: '200 when it takes connections; 503 while it starts or drains',
      readiness: () => this.#phase === 'ready' ? { kind: 'ready' } : { kind: 'not-ready', reason: this.#phase },
      metrics: observation.metrics,
      routes: [
        { method: 'GET', path: '/v1/snapshot', access: 'guarded', summary: 'what is running', answer: () => ({ status: 200, value: this.#status() }) },
        ...tenantRoutes({ tenants: this.#published.tenants, endpoints: this.endpoints, openByRow: admission.tables.tenants, drains: this.#drains }),
        ...endpointRoutes({ endpoints: this.endpoints, drains: this.#drains }),
        ...connectionRoutes(live),
      ],
      answered: (event) => this.#adminAnswered(event),
      failed: (error, context) => observation.driverError(error, context),
    })
  }

  get listeners(): readonly BoundListener[] {
    return [...this.#bound].map(([name, address]) => ({ name, address }))
  }

  /** Of the running snapshot. */
  get version(): number {
    return this.#version
  }

  /** What is running, for the metrics. */
  get snapshotFacts(): SnapshotFacts {
    return {
      version: this.#version,
      publishedAtMs: this.#publishedAtMs,
      tenants: this.#config.tenantCount,
      hostnames: this.#config.hostnameCount,
    }
  }

  /** Undefined once it has been closed. */
  get adminAddress(): SocketAddress | undefined {
    return this.#admin.address
  }

  /** Called once, by `startGateway`. */
  async start({ change, refused }: ConfigUpdate): Promise<void> {
    this.#logRefused(refused)
    const { admin, listeners } = this.#config.settings
    const adminServers = await this.#admin.open(await readAdminEntries(admin, dirname(this.#options.configFile)))
    await adminServers.commit()
    await this.#publish(change)
    await this.#tunnel?.openEgress(await this.#tunnel.readEgress(this.#config.settings.egress))
    for (const listener of listeners) await this.#listen(listener, listeners)
    await this.#tunnel?.meetOthers()
    this.#phase = 'ready'
    this.#logger.info({
      listeners: this.listeners.map(({ address }) => formatSocketAddress(address)),
      admin: formatSocketAddress(this.#admin.address ?? admin.address),
      driver: this.#driver.kind,
      connectionsMax: this.#driver.counters().connectionsMax,
      tenants: this.#config.tenantCount,
      hostnames: this.#config.hostnameCount,
    }, 'ready')
  }

  /** Reads the file again. Never rejects for what is wrong with it: that is logged, and nothing changes. */
  async reload(why: string): Promise<ReloadResult> {
    this.#fileMayHaveChanged = true
    return await this.refresh(why)
  }

  /** As `reload`, for what the thread was told of tenants of the store. */
  async refresh(why: string): Promise<ReloadResult> {
    if (this.#reloading === undefined) return await this.#beginReload(why)
    this.#nextReload ??= this.#reloading.then(async () => await this.#beginReload(why))
    return await this.#nextReload
  }

  /**
   * Readiness fails at once; listeners close after `timeouts.drainGrace`; connections end by themselves or at their tenant's
   * `timeouts.drain`. Resolves when none is left and the admin address is closed.
   */
  async drain(): Promise<void> {
    this.#phase = 'draining'
    this.#watcher.close()
    this.#tenants?.close()
    await delay(this.#config.settings.timeouts.drainGraceMs, undefined, { signal: this.#stopping.signal }).catch(() => undefined)
    await this.#applied()
    await this.#closeListeners()
    this.#logger.info({ open: this.#driver.counters().openConnections }, 'listeners closed; waiting for connections to end')
    await Promise.all([this.#driver.drain(), this.#tunnel?.drain()])
    this.#drains.stop()
    await this.#driver.stop()
    await this.#tunnel?.stop()
    await this.#store?.close()
    await this.#admin.close()
    this.#thread.close()
    await this.endpoints.close()
    this.#observation.close()
    this.#logger.info({}, 'drained')
  }

  /** Ends everything now. */
  async stop(): Promise<void> {
    this.#phase = 'draining'
    this.#stopping.abort()
    this.#watcher.close()
    this.#tenants?.close()
    await this.#applied()
    this.#bound.clear()
    this.#drains.stop()
    await this.#driver.stop()
    await this.#tunnel?.stop()
    await this.#store?.close()
    await this.#admin.close()
    this.#thread.close()
    await this.endpoints.close()
    this.#observation.close()
  }

  /**
   * One worker of the driver, and one thread of the tunnel, throw as a bug would, to see what happens then; the next ones at the
   * next call. Resolves once another worker has taken its place.
   * @returns whether there are workers
   */
  async crashWorker(): Promise<boolean> {
    if (this.#driver.crashWorker === undefined) return false
    this.#tunnel?.crashThread(this.#crashes)
    this.endpoints.crashThread()
    await this.#driver.crashWorker(this.#crashes++)
    return true
  }

  async #beginReload(why: string): Promise<ReloadResult> {
    this.#nextReload = undefined
    this.#reloading = this.#reloadOnce(why)
    const result = await this.#reloading
    this.#reloading = undefined
    return result
  }

  async #reloadOnce(why: string): Promise<ReloadResult> {
    const startMs = performance.now()
    try {
      this.#refuseWhileDraining()
      const isOfFile = this.#fileMayHaveChanged
      this.#fileMayHaveChanged = false
      if (isOfFile) this.#watcher.loading()
      // Loading takes a while, and a drain may have begun meanwhile.
      const update = await (isOfFile ? this.#thread.load() : this.#thread.refresh()).finally(() => this.#refuseWhileDraining())
      this.#logRefused(update.refused)
      this.#applying = this.#apply(update)
      await this.#applying
      const version = this.#version
      const { tenantCount: tenants, hostnameCount: hostnames, change } = update
      this.#logger.info({ why, version, tenants, hostnames, changed: change.tenants.length, ms: Math.round(performance.now() - startMs) }, 'reloaded')
      this.#reloaded({ result: 'reloaded', at: new Date().toISOString() })
      return { kind: 'reloaded', version }
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error)
      const problems = error instanceof ConfigError ? error.problems.slice(0, problemsLoggedMax).map(formatProblem) : [reason]
      this.#logger.error({ why, version: this.#version, problems }, 'not reloaded: the running configuration stays')
      this.#reloaded({ result: 'kept', at: new Date().toISOString(), error: problems.join('\n') })
      return { kind: 'kept', reason }
    }
  }

  /** Each once, as long as it stays so. */
  #logRefused(refused: readonly ConfigProblem[]): void {
    const lines = new Set(refused.map(formatProblem))
    const problems = [...lines].filter((line) => !this.#refused.has(line)).slice(0, problemsLoggedMax)
    if (problems.length > 0) this.#logger.error({ problems }, 'tenants of the store are refused: what held of them before holds on')
    this.#refused = lines
  }

  #refuseWhileDraining(): void {
    if (this.#phase === 'draining') throw new Error('the gateway is draining')
  }

  /** How it went is told by the reload itself. */
  async #applied(): Promise<void> {
    await Promise.allSettled([this.#applying])
  }

  #reloaded(last: LastReload): void {
    this.#lastReload = last
    this.#observation.metrics.reloaded(last.result)
  }

  /** Binds what is new, publishes, and only then closes what is old. */
  async #apply({ change, refused: _refused, ...config }: ConfigUpdate): Promise<void> {
    const { listeners, relay, tunnel, state, admin } = config.settings
    const running = this.#config.settings
    if (!isDeepStrictEqual(relay, running.relay)) throw new Error('relay is another one: restart to change that')
    if (!isDeepStrictEqual(withoutReloadable(tunnel), withoutReloadable(running.tunnel))) throw new Error('tunnel is another one in more than hostnames, gateways, certificate and clientCaFile: restart to change that')
    if (this.#store !== undefined && !isDeepStrictEqual(state, running.state)) throw new Error('state is another one: restart to change that')
    const certificate = tunnel === undefined ? undefined : await this.#tunnel?.readCertificate(tunnel)
    const egress = await this.#tunnel?.readEgress(config.settings.egress) ?? []
    const egressBefore = this.#tunnel?.egress ?? []
    for (const { name, address } of listeners) {
      if (!this.#bound.has(name) || listenOptions(address, listeners).ipv6Only === listenOptions(address, running.listeners).ipv6Only) continue
      // An option of the bound socket: it can't be changed, nor a second one bound beside it.
      throw new Error(`listener ${name} shares its port with an IPv4 listener in one of the two configurations only: restart to change that`)
    }
    const added = listeners.filter(({ name }) => !this.#bound.has(name))
    const bound: ListenerConfig[] = []
    let adminServers: Awaited<ReturnType<AdminServers['open']>> | undefined
    try {
      // A new listener accepts as soon as it is bound: until then the running snapshot must know its policy.
      if (added.length > 0) await this.#publishListeners([...listenerSpecs({ ...config.settings, listeners: added }), ...listenerSpecs(running)])
      for (const listener of added) {
        await this.#listen(listener, listeners)
        bound.push(listener)
      }
      adminServers = await this.#admin.open(await readAdminEntries(admin, dirname(this.#options.configFile)))
      await this.#tunnel?.openEgress(egress)
      await this.#publish(change)
    } catch (error) {
      await this.#tunnel?.openEgress(egressBefore)
      await this.#tunnel?.closeOtherEgress()
      for (const { name } of bound) await this.#unlisten(name)
      await adminServers?.undo()
      if (added.length > 0) await this.#publishListeners(listenerSpecs(running))
      throw error
    }
    this.#config = config
    if (tunnel !== undefined && certificate !== undefined) this.#tunnel?.reload(tunnel, certificate)
    await this.#tunnel?.closeOtherEgress()
    for (const name of Array.from(this.#bound.keys())) {
      if (!listeners.some((listener) => listener.name === name)) await this.#unlisten(name)
    }
    await adminServers.commit()
  }

  async #publish(change: ConfigChange): Promise<void> {
    const { change: next, without } = this.#rows.give(this.#limitRows.assign({ version: this.#version + 1, ...change }))
    if (without > 0) this.#logger.warn({ tenants: without, endpointRowsMax }, 'more endpoints than connections are counted for: lc, wlc and mh take those of these tenants for empty')
    if (this.#driver.kind === 'node') {
      const listeners = change.listeners.filter(({ limits }) => limits?.sourceExcess !== undefined && limits.sourceExcess !== 'reset').map(({ name }) => name)
      if (listeners.length > 0 && listeners.join(' ') !== this.#toldToReset) this.#logger.warn({ listeners }, 'connectionsPerSourceExcess: the Node driver can reset only, and does')
      this.#toldToReset = listeners.join(' ')
    }
    this.endpoints.update(next)
    this.#tunnel?.publish(next)
    await this.#driver.publish(next)
    this.#published.remember(next)
    this.#version += 1
    this.#publishedAtMs = Date.now()
    this.#thread.commit()
  }

  async #publishListeners(listeners: readonly ListenerSpec[]): Promise<void> {
    const { settings } = this.#config
    await this.#driver.publish(this.#limitRows.assign({ version: this.#version, listeners, ...tunnelHostnames(settings), limits: settings.limits, tenants: [], removedTenants: [] }))
  }

  async #listen({ name, address }: ListenerConfig, listeners: readonly ListenerConfig[]): Promise<void> {
    this.#observation.addListener(name)
    try {
      const bound = await this.#driver.listen(name, address, listenOptions(address, listeners))
      this.#bound.set(name, bound)
      this.#logger.info({ listener: name, address: formatSocketAddress(bound) }, 'listening')
    } catch (error) {
      throw new BindError('listener', address, error)
    }
  }

  async #unlisten(name: string): Promise<void> {
    this.#bound.delete(name)
    await this.#driver.unlisten(name)
    this.#logger.info({ listener: name }, 'listener closed')
  }

  async #closeListeners(): Promise<void> {
    for (const name of Array.from(this.#bound.keys())) await this.#unlisten(name)
  }

  /** Who changed what; and who was not let in, as far as the log has room. */
  #adminAnswered({ from, request, status, error }: AdminEvent): void {
    const facts = { from, request, status, ...(error === undefined ? {} : { error }) }
    if (status !== 401 && status !== 403) this.#logger.info(facts, 'admin')
    else if (this.#adminRefusalLines.take('refused', performance.now())) this.#logger.warn(facts, 'admin: not let in')
  }

  #status(): SnapshotStatus {
    return {
      version: this.#version,
      publishedAt: new Date(this.#publishedAtMs).toISOString(),
      ageSeconds: Math.round((Date.now() - this.#publishedAtMs) / 1_000),
      file: this.#options.configFile,
      listeners: this.listeners.map(({ name, address }) => ({ name, address: formatSocketAddress(address) })),
      tenants: this.#config.tenantCount,
      hostnames: this.#config.hostnameCount,
      ...(this.#lastReload === undefined ? {} : { lastReload: this.#lastReload }),
    }
  }
}

/** Of a bad file; the rest is for `sluice check`. */
const problemsLoggedMax = 20

/** Anybody can cause them. */
const adminRefusalLinesPerSecond = 1
const adminRefusalLinesBurst = 10

/** What a reload can't change of it. */
function withoutReloadable(tunnel: TunnelConfig | undefined): unknown {
  return tunnel === undefined ? undefined : { ...tunnel, hostnames: [], gateways: [], certificate: undefined, clientCaFile: undefined }
}

/** `[::]:6443` serves IPv4 too, as it does elsewhere, unless the file has an IPv4 listener on that port. */
function listenOptions({ address, port }: SocketAddress, listeners: readonly ListenerConfig[]): ListenOptions {
  const ipv6 = address.includes(':')
  return { ipv6Only: ipv6 && listeners.some((other) => other.address.port === port && !other.address.address.includes(':')) }
}
