// The process's table of descriptors, made as large as it will have to be before anybody waits for it. The kernel doubles the table
// when a new descriptor finds no room, and in a process with threads whoever opens that one waits for a grace period of RCU
// (`expand_fdtable` in the kernel's fs/file.c): 10 to 20 ms in which a worker relays nothing, four times while 9,000 clients come.
// The table never shrinks.

import * as libc from './libc.ts'

/** Of 8 bytes each, and some bits. A process with more of them waits once at each doubling. */
export const descriptorsAtOnceMax = 2 ** 18

/** Does nothing where the limit on descriptors (RLIMIT_NOFILE) is lower. @param descriptors that there may be at one time */
export function growDescriptorTable(descriptors: number): void {
  const any = libc.check(libc.eventfd(0, libc.EFD_CLOEXEC), 'eventfd')
  const last = libc.fcntl(any, libc.F_DUPFD_CLOEXEC, Math.min(descriptors, descriptorsAtOnceMax) - 1)
  if (last !== -1) libc.close(last)
  libc.close(any)
}
