// What the bench knows of a relay that it measures: how to tell that it is installed, and how to run it for the same
// facts as all the others. One file a relay; each renders its own configuration from `PeerFacts`.

import { accessSync, constants } from 'node:fs'
import { spawnSync } from 'node:child_process'
import { join } from 'node:path'

/** One tenant: connections that ask for the name go to the endpoint. */
export interface Route {
  readonly serverName: string
  /** `127.0.0.1:6443` */
  readonly endpoint: string
}

/** What a relay may be told to refuse, or to let wait; absent: nothing. */
export interface PeerLimits {
  /** Of all connections. */
  readonly connectionsPerSecond?: number
  /** Of each address. */
  readonly perSourcePerSecond?: number
  /** What becomes of those over it, where the peer would do something else. */
  readonly excess?: 'drop' | 'ban'
}

export interface PeerFacts {
  /** For the configuration, logs and the like; removed at the end. */
  readonly directory: string
  /** On 127.0.0.1. */
  readonly listenPort: number
  /** Free for whoever needs a second one. */
  readonly adminPort: number
  readonly routes: readonly Route[]
  /** Relayed at the same time. */
  readonly connectionsMax: number
  readonly limits?: PeerLimits
}

export interface Launch {
  readonly executable: string
  /** In the foreground. */
  readonly arguments_: readonly string[]
  /** Variables beside those of the bench. */
  readonly environment?: Readonly<Record<string, string>>
  /** Written to `PeerFacts.directory` first: name and content. */
  readonly files: Readonly<Record<string, string>>
  /** Ends it at once, its workers too. */
  readonly stopSignal: 'SIGTERM' | 'SIGKILL'
  /** Answers 200 when it is ready; absent: see `LaunchPlace`. */
  readonly readyUrl?: string
}

export interface Installation {
  readonly version: string
  /** Pure. */
  launch(facts: PeerFacts): Launch
}

export interface Peer {
  readonly name: string
  /** What it is and which settings matter, for the report's reader. */
  readonly settings: string
  /** With more it takes minutes to start. Absent: 100,000 are no trouble. */
  readonly hostnamesMax?: number
  /** @returns why not, when it can't be run here */
  find(): Installation | string
}

/** Daemons are in sbin, which is on the PATH of root alone. */
const extraPath = ['/usr/local/sbin', '/usr/sbin', '/sbin']

/** @returns the executable's path */
export function findExecutable(name: string): string | undefined {
  for (const directory of [...(process.env['PATH'] ?? '').split(':'), ...extraPath]) {
    const path = join(directory, name)
    try {
      accessSync(path, constants.X_OK)
      return path
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException
      if (code !== 'ENOENT' && code !== 'EACCES' && code !== 'ENOTDIR') throw error
    }
  }
  return undefined
}

/** What a program prints about itself, on either stream. */
export function outputOf(executable: string, ...arguments_: string[]): string {
  const { stdout, stderr } = spawnSync(executable, arguments_, { encoding: 'utf8', timeout: 10_000 })
  return `${stdout}${stderr}`
}

/** @returns the first version number in a text: `2.6.12` */
export function versionIn(text: string): string {
  return /\d+\.\d+(?:\.\d+)?/.exec(text)?.[0] ?? 'unknown'
}
