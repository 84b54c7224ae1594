// What the tests of the egress have in common: API servers that ask for connections with CONNECT, and agents that dial on this
// machine.

import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import type { Test } from 'tap'
import type { AllowEntry } from '../../src/core/tunnel/reverse-policy.ts'
import type { ReverseOptions } from '../../src/tunnel/agent/reverse-streams.ts'
import { readBytes, until } from '../support/sockets.ts'
import type { Lab, TestAgent, TestGateway } from './tunnel-lab.ts'

/** Every port of the node's own addresses. */
const wholeNode: AllowEntry = { kind: 'node', ports: [{ from: 1, to: 65_535 }] }

/** @param allow @default every port of the node's own addresses */
export function reaching({ allow = [wholeNode], announce = [], dialTimeoutMs = 3_000, ...rest }: Partial<ReverseOptions> = {}): ReverseOptions {
  return { allow, announce, dialTimeoutMs, ...rest }
}

/** An agent whose node is called so, and is this machine: by its name any port of loopback is reached. */
export async function nodeHere(lab: Lab, gateways: readonly TestGateway[], node: string, options: Partial<Parameters<Lab['agent']>[0]> & { readonly tenant?: string } = {}): Promise<TestAgent> {
  const { tenant = 'acme', ...rest } = options
  const agent = await lab.agent({ gateways: gateways.map(({ url }) => url), token: await lab.token(gateways.length, tenant), node, addresses: ['127.0.0.1'], reverse: reaching(), ...rest })
  await until(() => gateways.every(({ started }) => started.some((session) => session.node === node && session.tenant === tenant)))
  return agent
}

/** A connection to an egress's socket. */
export async function openSocket(t: Test, path: string): Promise<Socket> {
  const socket = connect({ path, allowHalfOpen: true })
  t.teardown(() => socket.destroy())
  socket.on('error', () => undefined)
  await once(socket, 'connect')
  return socket
}

export interface Answer {
  /** `HTTP/1.1 200 OK` */
  readonly line: string
  readonly socket: Socket
}

/** As kube-apiserver asks. @param early sent with the request */
export async function ask(socket: Socket, target: string, early = ''): Promise<Answer> {
  socket.write(`CONNECT ${target} HTTP/1.1\r\nHost: 127.0.0.1\r\nUser-Agent: Go-http-client/1.1\r\n\r\n${early}`)
  return { line: await statusLine(socket), socket }
}

/** The head of an answer, byte for byte: what follows stays in the socket. Only a line and an empty one are expected. */
export async function statusLine(socket: Socket): Promise<string> {
  let head = ''
  while (!head.endsWith('\r\n\r\n')) head += (await readBytes(socket, 1)).toString('latin1')
  return head.slice(0, -4)
}
