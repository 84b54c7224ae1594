// The gateway's configuration file in its generations, and files that it must not take.

import { backendAddress, backendPort, refusingEndpoint, serverNameOf, tenants, type EndpointKind } from './topology.ts'

export interface ConfigFacts {
  readonly port: number
  readonly adminPort: number
  /** Absent: the key is left out. */
  readonly driver: string | undefined
  readonly kernelLane: string | undefined
  readonly unresponsiveEndpoint: string
  /** Volatile tenants that are not in it. */
  readonly absent: ReadonlySet<string>
  readonly generation: number
}

/** Tenants whom nobody asks for, so that a reload has work to do. */
const bystanders = 300

/** Backends can’t pass a check: they speak no TLS, which an endpoint that did not answer is asked for. Those that refuse are ejected, but not for long: retries are what is to be seen. */
export function gatewayConfig({ port, adminPort, driver, kernelLane, unresponsiveEndpoint, absent, generation }: ConfigFacts): string {
  const endpointText = (endpoint: EndpointKind): string =>
    endpoint === 'refusing' ? refusingEndpoint : endpoint === 'unresponsive' ? unresponsiveEndpoint : `${backendAddress(endpoint)}:${backendPort}`
  const present = tenants.filter(({ name }) => !absent.has(name)).map(({ name, endpoints }) =>
    `  - { name: ${name}, hostnames: [${serverNameOf(name)}], apiServer: { endpoints: [${endpoints.map(endpointText).join(', ')}] } }\n`)
  const others = Array.from({ length: bystanders }, (_, index) =>
    `  - { name: other${index}, hostnames: [${serverNameOf(`other${index}`)}], apiServer: { endpoints: [127.0.0.1:${1_024 + ((index + generation) % 30_000)}] } }\n`)
  const relay = [...(driver === undefined ? [] : [`driver: ${driver}`]), ...(kernelLane === undefined ? [] : [`kernelLane: ${kernelLane}`])].join(', ')
  return `listeners: [{ address: 127.0.0.1:${port} }]
relay: { ${relay} }
defaults: { timeouts: { hello: 5s, connect: 1s, drainGrace: 0s }, retries: { attempts: 3, budgetPercent: 1500 }, health: { kind: none }, ejection: { time: 1s } }
tenants:
${present.join('')}${others.join('')}admin: { address: 127.0.0.1:${adminPort} }
`
}

export const badFiles = [
  { kind: 'no file' },
  { kind: 'text', text: '' },
  { kind: 'text', text: 'listeners: [{ address: 127.0.0.1:64' },
  { kind: 'text', text: 'listeners: [{ address: 127.0.0.1:6443 }]\ntenant: []\n' },
  { kind: 'text', text: 'listeners: [{ address: 127.0.0.1:6443 }]\ntenants: [{ name: a, hostnames: [a.example.test], apiServer: { pool: nobody, nodePort: 1 } }]\n' },
  { kind: 'text', text: '\u0000\u0001\ufffd' },
] as const

export type BadFile = (typeof badFiles)[number]
