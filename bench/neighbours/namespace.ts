// Network namespaces without a name, a process or a mount: each is a descriptor of this process, so that it ends with it, whatever
// ends it (network_namespaces(7)). A thread enters one by setns(2), opens sockets or runs a program, and goes back; what it
// has opened stays in there.

import { closeSync, openSync } from 'node:fs'
import koffi from 'koffi'
import { check } from '../../src/relay/linux/libc.ts'

type Call = (...args: readonly number[]) => number

const process_ = koffi.load(null)
const unshare = process_.func('unshare', 'int', ['int']) as unknown as Call
const setns = process_.func('setns', 'int', ['int', 'int']) as unknown as Call

/** <sched.h> */
const CLONE_NEWNET = 0x40000000
/** Not /proc/self, which is the first thread. */
const ownNamespace = '/proc/thread-self/ns/net'

/** The one that the process began in. */
const homeFd = openSync(ownNamespace, 'r')

export class NetworkNamespace {
  /** For `ip … netns`, in a child that inherits it. */
  readonly fd: number

  /** @throws {SystemError} EPERM without CAP_SYS_ADMIN */
  constructor() {
    check(unshare(CLONE_NEWNET), 'unshare(CLONE_NEWNET)')
    this.fd = openSync(ownNamespace, 'r')
    goHome()
  }

  /** @param work synchronous: the rest of this thread's work belongs at home */
  within<T>(work: () => T): T {
    check(setns(this.fd, CLONE_NEWNET), 'setns')
    try {
      return work()
    } finally {
      goHome()
    }
  }

  /** It ends when its last socket is closed, too. */
  close(): void {
    closeSync(this.fd)
  }
}

function goHome(): void {
  check(setns(homeFd, CLONE_NEWNET), 'setns')
}
