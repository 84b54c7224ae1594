import { once } from 'node:events'
import { MessageChannel, type MessagePort } from 'node:worker_threads'
import { test, type Test } from 'tap'
import { ThreadCalls } from '../../src/gateway/thread-calls.ts'

interface Server {
  double(n: number): number
  fail(why: string): Promise<never>
  never(nothing: undefined): Promise<void>
  note(text: string): void
}

interface Client {
  hear(text: string): void
}

interface Pair {
  readonly calls: ThreadCalls<Client, Server>
  readonly back: ThreadCalls<Server, Client>
  /** In order, of both. */
  readonly notes: string[]
  readonly port: MessagePort
}

function pair(t: Test): Pair {
  const { port1, port2 } = new MessageChannel()
  const notes: string[] = []
  const back = new ThreadCalls<Server, Client>(port2, {
    double: (n) => 2 * n,
    fail: async (why) => await Promise.reject(new Error(why)),
    never: async () => await new Promise(() => undefined),
    note: (text) => void notes.push(text),
  })
  t.teardown(() => port1.close())
  return { calls: new ThreadCalls<Client, Server>(port1, { hear: (text) => void notes.push(text) }), back, notes, port: port2 }
}

void test('each side calls the other', async (t) => {
  const { calls, back, notes } = pair(t)
  calls.tell('note', 'there')
  await calls.call('double', 1)
  await back.call('hear', 'and back')
  t.same(notes, ['there', 'and back'])
})

void test('each call gets its own answer, in whichever order they are asked', async (t) => {
  const { calls } = pair(t)
  t.same(await Promise.all([calls.call('double', 1), calls.call('double', 2), calls.call('double', 21)]), [2, 4, 42])
})

void test('what a method throws is thrown where it was called', async (t) => {
  const { calls } = pair(t)
  await t.rejects(calls.call('fail', 'no such node'), { message: 'no such node' })
})

void test('what is told is heard in order, before what is asked later', async (t) => {
  const { calls, notes } = pair(t)
  calls.tell('note', 'first')
  calls.tell('note', 'second')
  await calls.call('double', 1)
  t.same(notes, ['first', 'second'])
})

void test('once it is closed, whoever waits is told why, and so is whoever comes', async (t) => {
  const { calls, notes, port } = pair(t)
  const waiting = calls.call('never', undefined)
  calls.close(new Error('the thread died'))
  await t.rejects(waiting, { message: 'the thread died' })
  await t.rejects(calls.call('double', 1), { message: 'the thread died' })
  calls.tell('note', 'nobody hears this')
  port.close()
  await once(port, 'close')
  t.same(notes, [])
})
