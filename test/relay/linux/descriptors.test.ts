import { test } from '../../support/linux-only.ts'
import { once } from 'node:events'
import { connect } from 'node:net'
import { closeDescriptors, createDescriptors, descriptorsIn } from '../../../src/relay/linux/descriptors.ts'
import * as libc from '../../../src/relay/linux/libc.ts'
import { closeAll, openListeningSockets } from '../../../src/relay/linux/listening-sockets.ts'
import { openDescriptors } from '../../support/linux-driver.ts'
import { readToEnd } from '../../support/sockets.ts'

void test('no two of its cells are one', async (t) => {
  const all: Int32Array[] = Object.values<Int32Array>(descriptorsIn(createDescriptors(3), 3) as unknown as Record<string, Int32Array>)
  for (const [index, cells] of all.entries()) cells.fill(index + 1)
  for (const [index, cells] of all.entries()) t.ok(cells.length > 0 && cells.every((each) => each === index + 1))
})

for (const place of ['connections', 'accepted'] as const) void test(`what a dead worker had open is closed once, and its ${place} are reset`, async (t) => {
  const { fds: [listening = -1], bound } = openListeningSockets({ address: '127.0.0.1', port: 0 }, { ipv6Only: false }, 1)
  const client = connect({ host: '127.0.0.1', port: bound.port })
  client.on('error', () => undefined)
  await once(client, 'connect')
  client.write('the system hands it over with its first bytes')
  const epoll = new libc.Epoll(1)
  epoll.add(listening, libc.EPOLLIN, 0)
  epoll.wait(-1)
  const before = openDescriptors()
  const accepted = libc.check(libc.accept4(listening, 0, 0, libc.SOCK_NONBLOCK | libc.SOCK_CLOEXEC), 'accept4')
  const pipe = libc.createPipe()
  const buffer = createDescriptors(2)
  const descriptors = descriptorsIn(buffer, 2)
  descriptors[place][2] = accepted + 1
  descriptors.pipes[0] = (pipe?.readFd ?? -1) + 1
  descriptors.pipes[1] = (pipe?.writeFd ?? -1) + 1
  const ending = readToEnd(client)
  closeDescriptors(descriptors)
  t.match(await ending, { how: 'ECONNRESET' })
  t.ok(openDescriptors() < before)
  t.ok(new Int32Array(buffer).every((each) => each === 0))
  closeAll([listening, epoll.fd])
})
