// What a connection through a tunnel begins with, where one address leads to all servers of the backend: the first byte asks
// for one of them, and the rest makes it as long as a ClientHello of today. Pure.

import type { BackendRole } from './backend-protocol.ts'

const greetingBytes = 1_536
const fill = 0x47

/** `boundedSource`: a source of whose bytes few lie in its socket, so that they lie in the tunnel when nobody reads. */
export const greetings: Readonly<Record<BackendRole | 'boundedSource', number>> = { echo: 0x65, source: 0x73, sink: 0x6b, boundedSource: 0x62 }

export function greetingOf(server: keyof typeof greetings): Buffer {
  const greeting = Buffer.alloc(greetingBytes, fill)
  greeting[0] = greetings[server]
  return greeting
}
