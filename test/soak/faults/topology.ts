// Who is behind the gateway: backends, and tenants by what their endpoints are like.
//
// Each backend has a loopback address of its own, and each run others. On 127.0.0.1 a dial to a port whose backend is down can
// be given that very port as its source, and then connects to itself.

/** A backend's index · nobody listens there · a full backlog that nobody accepts from. */
export type EndpointKind = number | 'refusing' | 'unresponsive'

export interface TenantShape {
  readonly name: string
  readonly endpoints: readonly EndpointKind[]
  /** Reloads take it away and bring it back. */
  readonly volatile?: true
}

/** The last one accepts through a backlog of one. */
export const backendCount = 7
export const narrowBackend = backendCount - 1
export const backendPort = 6_443
/** The first ones are stopped now and then, but never killed: connections to them may grow old. */
export const lastingBackends = 2

export const volatileTenants: readonly TenantShape[] = Array.from({ length: 8 }, (_, index) => ({
  name: `volatile${index}`, endpoints: [index % narrowBackend], volatile: true,
}))

export const tenants: readonly TenantShape[] = [
  ...Array.from({ length: 4 }, (_, index) => ({ name: `one${index}`, endpoints: [index] })),
  { name: 'many', endpoints: [3, 4, 5] },
  { name: 'narrow', endpoints: [narrowBackend] },
  { name: 'half-refused', endpoints: ['refusing', 5] },
  { name: 'half-unresponsive', endpoints: ['unresponsive', 4] },
  { name: 'refused', endpoints: ['refusing'] },
  { name: 'unresponsive', endpoints: ['unresponsive'] },
  ...volatileTenants,
]

export const serverNameOf = (tenant: string): string => `${tenant}.example.test`

/** Two runs on one machine have different numbers, as long as these have not come round. */
const network = `127.${1 + ((process.pid >> 8) % 254)}.${process.pid % 256}`

/** To be asked in one process only: another has another network. */
export const backendAddress = (index: number): string => `${network}.${11 + index}`
export const refusingEndpoint = `${network}.10:${backendPort}`

export function tenantNamed(name: string): TenantShape {
  const tenant = tenants.find((tenant) => tenant.name === name)
  if (tenant === undefined) throw new Error(`bug: there is no tenant ${name}`)
  return tenant
}
