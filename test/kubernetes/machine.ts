// A customer's machine: network, mount and process namespaces of its own, whose only way out is a TCP connection to one port.
//
//   [machine: 172.30.0.1 on lo · uplink .2/30, nft: out to the gateway's port, in nothing] ══ veth ══ .1/30 the gateway's host
//
// Every process runs below its `sleep`, which is process 1 in there. When that is killed, or whoever started it ends in
// whatever way, the system kills all others, and with the last of them go its network, its firewall and its mounts: also
// those of containers. /run, /var/lib, /var/log and /opt are its own, in memory, so kubelet and containerd have their usual
// folders and leave nothing.

import { execFileSync } from 'node:child_process'
import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { LabProcess } from '../support/lab-process.ts'

const startTimeoutMs = 20_000
const commandTimeoutMs = 60_000
const stopTimeoutMs = 10_000
const pollIntervalMs = 20
const outputBytesMax = 4 * 1024 * 1024
const ownFolders = ['/run', '/var/lib', '/var/log', '/opt'] as const

/** Its first process tells the number that it has outside, from a /proc that is still the outside's. */
const firstProcess = `set -e
read -r pid rest </proc/self/stat
mount -t proc proc /proc
mount --bind "$1" /etc/hosts
for folder in ${ownFolders.join(' ')}; do mount -t tmpfs -o mode=755 tmpfs "$folder"; done
echo "pid $pid"
exec sleep infinity
`

export interface MachineOptions {
  /** Where its log and its hosts file go. */
  readonly directory: string
  /** Names for the gateway's host, which it finds in its /etc/hosts. */
  readonly hostNames: readonly string[]
  /** Names for itself, there alone. */
  readonly ownNames?: readonly string[]
  /** Of the tests' machines. @default 0 */
  readonly index?: 0 | 1
}

/** TEST-NET-2 and TEST-NET-3 (RFC 5737): no route of a real network is shadowed. */
const networks = ['198.51.100', '203.0.113'] as const

export class Machine {
  /** Of the machine, on its uplink. */
  readonly address: string
  /** Of the gateway's host, as the machine sees it. */
  readonly hostAddress: string
  readonly #directory: string
  readonly #pid: number

  private constructor(fields: { address: string; hostAddress: string; directory: string; pid: number }) {
    this.address = fields.address
    this.hostAddress = fields.hostAddress
    this.#directory = fields.directory
    this.#pid = fields.pid
  }

  static async start({ directory, hostNames, ownNames = [], index = 0 }: MachineOptions): Promise<Machine> {
    // A /30 for each process.
    const base = (process.pid % 64) * 4
    const [hostAddress, address] = [`${networks[index]}.${base + 1}`, `${networks[index]}.${base + 2}`]
    await mkdir(directory, { recursive: true })
    const hosts = join(directory, 'hosts')
    await writeFile(hosts, `127.0.0.1 localhost\n${hostAddress} ${hostNames.join(' ')}\n${address} node ${ownNames.join(' ')}\n`)
    const first = new LabProcess({
      name: 'machine',
      executable: 'unshare',
      arguments_: ['--net', '--mount', '--pid', '--fork', '--kill-child', 'sh', '-c', firstProcess, 'sh', hosts],
      directory,
    })
    const machine = await (async () => {
      let pid = 0
      await first.waitUntil('is up', startTimeoutMs, async () => {
        pid = Number(/^pid (\d+)$/m.exec(await readFile(first.logPath, 'utf8'))?.[1] ?? 0)
        return pid > 0
      })
      return new Machine({ address, hostAddress, directory, pid })
    })().catch(async (error: unknown) => {
      await first.stop()
      throw error
    })
    try {
      machine.#connect(`slm${process.pid}${index === 0 ? '' : 'b'}`)
    } catch (error) {
      machine.stop()
      throw error
    }
    return machine
  }

  /** @throws with its standard error, when a command in there fails. @returns standard output */
  exec(command: string, arguments_: readonly string[], input = ''): string {
    return execFileSync('nsenter', [...this.#enter(), command, ...arguments_], {
      encoding: 'utf8', input, timeout: commandTimeoutMs, maxBuffer: outputBytesMax, stdio: ['pipe', 'pipe', 'pipe'],
    })
  }

  /** A process that stays, in there. A signal to it reaches its parent, outside: it ends with `stop`. */
  run(name: string, executable: string, arguments_: readonly string[]): LabProcess {
    return new LabProcess({ name, executable: 'nsenter', arguments_: [...this.#enter(), executable, ...arguments_], directory: this.#directory })
  }

  /** From now on it may go out to these ports of the gateways' host, and nowhere else; in comes nothing that it has not asked for. */
  closeFirewall(...ports: readonly number[]): void {
    this.exec('nft', ['--file', '-'], `table inet uplink {
  chain output {
    type filter hook output priority filter; policy accept;
    fib daddr type local accept
    oifname "uplink" ct state established,related accept
    oifname "uplink" ip daddr ${this.hostAddress} tcp dport { ${ports.join(', ')} } accept
    oifname "uplink" counter reject with icmpx admin-prohibited
  }
  chain forward {
    type filter hook forward priority filter; policy accept;
    oifname "uplink" counter drop
    iifname "uplink" counter drop
  }
  chain input {
    type filter hook input priority filter; policy accept;
    iifname "uplink" ct state established,related accept
    iifname "uplink" counter drop
  }
}
`)
  }

  /** Everything in there ends. Waits, so that it can be called when this process exits. */
  stop(): void {
    const deadlineMs = Date.now() + stopTimeoutMs
    try {
      process.kill(this.#pid, 'SIGKILL')
      // It is gone when all of its processes are.
      while (process.kill(this.#pid, 0)) {
        if (Date.now() > deadlineMs) throw new Error(`the machine's first process, ${this.#pid}, still runs`)
        Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, pollIntervalMs)
      }
    } catch (error) {
      if (!(error instanceof Error && 'code' in error && error.code === 'ESRCH')) throw error
    }
  }

  /** @param near the host's end */
  #connect(near: string): void {
    const ip = (...arguments_: string[]): void => void execFileSync('ip', arguments_, { stdio: ['ignore', 'ignore', 'pipe'] })
    ip('link', 'add', near, 'type', 'veth', 'peer', 'name', 'uplink', 'netns', String(this.#pid))
    ip('address', 'add', `${this.hostAddress}/30`, 'dev', near)
    ip('link', 'set', near, 'up')
    this.exec('ip', ['link', 'set', 'lo', 'up'])
    this.exec('ip', ['address', 'add', `${this.address}/30`, 'dev', 'uplink'])
    this.exec('ip', ['link', 'set', 'uplink', 'up'])
    // What kube-proxy leads elsewhere must have had a way before.
    this.exec('ip', ['route', 'add', 'default', 'via', this.hostAddress])
  }

  #enter(): string[] {
    return ['--target', String(this.#pid), '--net', '--mount', '--pid', '--']
  }
}
