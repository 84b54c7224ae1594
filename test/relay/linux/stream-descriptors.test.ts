import { test } from '../../support/linux-only.ts'
import { once } from 'node:events'
import { readlinkSync } from 'node:fs'
import { Worker } from 'node:worker_threads'
// As in a gateway, the main thread has the FFI too: koffi does not outlive being unloaded with the last thread that has it.
import { fcntl } from '../../../src/relay/linux/libc.ts'
import { closeStreamDescriptors, createStreamDescriptors } from '../../../src/relay/linux/stream-descriptors.ts'
import type { BusyThreadData, BusyThreadEnd } from './stream-sockets-thread.ts'

/** <fcntl.h> */
const F_GETFD = 1

for (const [how, message] of [['exception', 'asked for'], ['memory', 'out of memory'], ['terminate', '']] as const) {
  void test(`a busy thread that ends (${how}) takes neither the process nor descriptors with it`, async (t) => {
    const data: BusyThreadData = { descriptors: createStreamDescriptors() }
    const worker = new Worker(new URL('stream-sockets-thread.ts', import.meta.url), { workerData: data, resourceLimits: { maxOldGenerationSizeMb: 48 } })
    let why = ''
    worker.on('error', (error) => {
      why = String(error)
    })
    await once(worker, 'message')
    const exited = new Promise((resolve) => worker.once('exit', resolve))
    if (how === 'terminate') await worker.terminate()
    else worker.postMessage(how satisfies BusyThreadEnd)
    await exited
    t.match(why, message)
    const fds = [...data.descriptors].filter((each) => each !== 0).map((each) => each - 1)
    t.ok(fds.length >= 10, 'the epoll instance, the listener, connections')
    t.match(readlinkSync(`/proc/self/fd/${fds[0]}`), 'eventpoll')
    for (const fd of fds.slice(1)) t.match(readlinkSync(`/proc/self/fd/${fd}`), /^socket:/)
    closeStreamDescriptors(data.descriptors)
    t.ok(fds.every((fd) => fcntl(fd, F_GETFD, 0) === -1), 'all are closed')
  })
}
