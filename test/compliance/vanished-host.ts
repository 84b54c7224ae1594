// A host that can be made to vanish: a network namespace behind a pair of virtual links, made and removed by the test.
// Taking its link down answers nothing and resets nothing, as a node does that lost its power.
//
//   127.0.0.1 ─ relay ─ 198.18.0.1/30 ══ veth ══ 198.18.0.2/30 ─ [namespace: echo server]

import { execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import type { Test } from 'tap'

const echoFile = fileURLToPath(new URL('../soak/echo-backend.ts', import.meta.url))

export interface VanishingHost {
  readonly address: string
  readonly port: number
  vanish(): void
  comeBack(): void
}

/** Network namespaces need root and iproute2; without them the reason to skip. */
export function cannotMakeHosts(): string | undefined {
  if (process.platform !== 'linux') return 'network namespaces are Linux’s'
  if (process.getuid?.() !== 0) return 'network namespaces need root'
  const probe = `sluice${process.pid}p`
  try {
    execFileSync('ip', ['netns', 'add', probe], { stdio: 'ignore' })
    execFileSync('ip', ['netns', 'delete', probe], { stdio: 'ignore' })
    return undefined
  } catch (error) {
    return `no network namespace can be made: ${String(error)}`
  }
}

let hosts = 0

/** A /30 of 198.18.0.0/15 (RFC 2544), which no real network has a route to; tests that run beside this one have others. */
function addressesOf(host: number): readonly [near: string, far: string] {
  const base = ((process.pid % 4_096) * 8 + host % 8) * 4
  const address = (number: number): string => `198.${18 + (number >> 16)}.${(number >> 8) & 0xFF}.${number & 0xFF}`
  return [address(base + 1), address(base + 2)]
}

export async function startVanishingHost(t: Test): Promise<VanishingHost> {
  hosts += 1
  const name = `sluice${process.pid}-${hosts}`
  const [near, far] = [`sl${process.pid}n${hosts}`, `sl${process.pid}f${hosts}`]
  const [nearAddress, farAddress] = addressesOf(hosts)
  const ip = (...args: string[]): void => void execFileSync('ip', args, { stdio: ['ignore', 'ignore', 'inherit'] })
  t.teardown(() => {
    // The namespace goes when its last socket does.
    execFileSync('ip', ['link', 'delete', near])
    execFileSync('ip', ['netns', 'delete', name])
  })
  ip('netns', 'add', name)
  ip('link', 'add', near, 'type', 'veth', 'peer', 'name', far, 'netns', name)
  ip('address', 'add', `${nearAddress}/30`, 'dev', near)
  ip('link', 'set', near, 'up')
  ip('-n', name, 'address', 'add', `${farAddress}/30`, 'dev', far)
  ip('-n', name, 'link', 'set', far, 'up')
  ip('-n', name, 'link', 'set', 'lo', 'up')
  const server = spawn('ip', ['netns', 'exec', name, process.execPath, echoFile, farAddress], { stdio: ['pipe', 'pipe', 'inherit'] })
  t.teardown(() => {
    server.kill('SIGKILL')
  })
  const [line]: unknown[] = await once(server.stdout, 'data')
  return {
    address: farAddress,
    port: Number(String(line)),
    // The far end only: the near one stays up, so that no local error tells the relay.
    vanish: () => ip('-n', name, 'link', 'set', far, 'down'),
    comeBack: () => ip('-n', name, 'link', 'set', far, 'up'),
  }
}
