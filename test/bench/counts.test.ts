import { test } from 'tap'
import { mismatchOf } from '../../bench/counts.ts'

const generator = { opened: 2, sentBytes: 300, receivedBytes: 200 }
const backend = { connections: 2, sentBytes: 200, receivedBytes: 300 }

void test('counts that agree are no mismatch', async (t) => {
  for (const kind of ['echo', 'paced', 'connect', 'idle', 'download', 'upload'] as const) t.equal(mismatchOf(kind, generator, backend), undefined, kind)
})

void test('a byte lost is a mismatch, unless the connection was cut on purpose', async (t) => {
  t.match(mismatchOf('echo', generator, { ...backend, receivedBytes: 299 }), '300 bytes were sent, 299 reached the backend')
  t.match(mismatchOf('echo', { ...generator, receivedBytes: 199 }, backend), '200 bytes were sent by the backend, 199 came back')
  t.equal(mismatchOf('upload', generator, { ...backend, receivedBytes: 299 }), undefined)
  t.equal(mismatchOf('download', { ...generator, receivedBytes: 199 }, backend), undefined)
})

void test('a byte out of nowhere is always a mismatch', async (t) => {
  t.match(mismatchOf('upload', generator, { ...backend, receivedBytes: 301 }), '300 bytes were sent, 301 reached')
  t.match(mismatchOf('download', { ...generator, receivedBytes: 201 }, backend), '201 came back')
})

void test('a connection that went elsewhere is a mismatch', async (t) => {
  t.match(mismatchOf('echo', generator, { ...backend, connections: 1 }), '2 connections were opened, 1 reached the backend')
})
