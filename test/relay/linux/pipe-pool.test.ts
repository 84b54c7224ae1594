import { test } from '../../support/linux-only.ts'
import { createDescriptors, descriptorsIn, pipesMax } from '../../../src/relay/linux/descriptors.ts'
import * as libc from '../../../src/relay/linux/libc.ts'
import { PipePool } from '../../../src/relay/linux/pipe-pool.ts'
import { openDescriptors } from '../../support/linux-driver.ts'

function newPool(): { pool: PipePool; pipes: Int32Array; closeAll: () => void } {
  const { pipes } = descriptorsIn(createDescriptors(1), 1)
  return { pool: new PipePool(pipes, pipesMax), pipes, closeAll: () => pipes.forEach((each) => each > 0 && libc.close(each - 1)) }
}

void test('there are so many pipes and no more; one that is given back is there for the next', async (t) => {
  const before = openDescriptors()
  const { pool, pipes, closeAll } = newPool()
  const taken = Array.from({ length: pipesMax }, () => pool.take())
  t.equal(new Set(taken).size, pipesMax)
  t.equal(pool.take(), -1)
  t.equal(openDescriptors(), before + 2 * pipesMax)
  t.same(new Set(pipes), new Set(taken.flatMap((pipe) => [(pool.readFd[pipe] ?? -1) + 1, (pool.writeFd[pipe] ?? -1) + 1])))
  for (const pipe of taken) pool.release(pipe)
  t.equal(pipes.filter((each) => each > 0).length, openDescriptors() - before, 'each one that is open is known')
  t.ok(openDescriptors() - before < 2 * pipesMax, 'few are kept')
  t.not(pool.take(), -1)
  closeAll()
  t.equal(openDescriptors(), before)
})

void test('a pipe holds as many bytes as it says, and begins empty', async (t) => {
  const { pool, closeAll } = newPool()
  const memory = libc.allocate(4 * 1024 * 1024)
  for (let round = 0; round < 3; round++) {
    const pipe = pool.take()
    const [from = -1, to = -1, capacity = 0] = [pool.readFd[pipe], pool.writeFd[pipe], pool.capacity[pipe]]
    t.equal(libc.read(from, memory.address, 1), -1)
    t.equal(libc.write(to, memory.address, capacity + 1), capacity)
    // Bytes that nobody took, and that the next one may not find.
    pool.bytes[pipe] = capacity
    pool.release(pipe)
  }
  closeAll()
  libc.free(memory)
})
