// One echoing connection through the gateway, and one way to behave: every byte that comes back is compared.

import { connect, type Socket } from 'node:net'
import { ByteStream } from './byte-stream.ts'

/** steady: in turns · stalled: stops reading for a while · half-closed: FIN first, then reads · reset: leaves midway. */
export const behaviours = ['steady', 'stalled', 'half-closed', 'reset'] as const
export type Behaviour = (typeof behaviours)[number]

export interface EchoOptions {
  readonly port: number
  readonly hello: Uint8Array
  readonly behaviour: Behaviour
  readonly seed: number
  readonly byteLength: number
}

const chunkBytes = 16 * 1024
const stallMs = 300

/**
 * @returns bytes that came back, hello not counted
 * @throws when a byte is lost, doubled, out of order, or the connection ends in another way than this client ended it
 */
export async function echoOnce({ port, hello, behaviour, seed, byteLength }: EchoOptions): Promise<number> {
  const stream = new ByteStream(seed)
  const resetAt = behaviour === 'reset' ? Math.floor(byteLength / 2) : Infinity
  const socket = connect({ port, host: '127.0.0.1', allowHalfOpen: true, noDelay: true })
  return await new Promise<number>((resolve, reject) => {
    let helloBytes = 0
    let receivedBytes = 0
    let sentBytes = 0
    let stalled = false
    const fail = (why: string): void => {
      socket.destroy()
      reject(new Error(`${behaviour} connection ${seed}: ${why} after ${receivedBytes} of ${byteLength} bytes`))
    }
    const send = (): void => {
      while (sentBytes < byteLength && !socket.writableEnded) {
        const chunk = stream.bytes(sentBytes, Math.min(chunkBytes, byteLength - sentBytes))
        sentBytes += chunk.byteLength
        const more = socket.write(chunk)
        // In turns: the next chunk follows this one's echo.
        if (!more || behaviour === 'steady') break
      }
      // As a TLS client, it does not close before it has been answered: that would end the dial.
      if (sentBytes === byteLength && helloBytes === hello.byteLength && !socket.writableEnded) socket.end()
    }
    socket.on('connect', () => {
      socket.write(hello)
      send()
    })
    socket.on('drain', send)
    socket.on('data', (chunk: Buffer) => {
      const ofHello = Math.min(hello.byteLength - helloBytes, chunk.byteLength)
      helloBytes += ofHello
      if (ofHello > 0) send()
      const echoed = chunk.subarray(ofHello)
      if (!stream.matches(receivedBytes, echoed)) {
        fail('a byte was lost, doubled or out of order')
        return
      }
      receivedBytes += echoed.byteLength
      if (receivedBytes >= resetAt) {
        // After FIN there is no RST to be had from libuv; a close with bytes on their way makes the system send one.
        if (socket.writableEnded) socket.destroy()
        else socket.resetAndDestroy()
        resolve(receivedBytes)
      } else if (behaviour === 'steady' && receivedBytes === sentBytes) {
        send()
      } else if (behaviour === 'stalled' && !stalled && receivedBytes > 0) {
        stalled = true
        stall(socket)
      }
    })
    socket.on('end', () => {
      if (receivedBytes === byteLength) resolve(receivedBytes)
      else fail('FIN')
      socket.destroy()
    })
    socket.on('error', (error) => fail(error.message))
  })
}

function stall(socket: Socket): void {
  socket.pause()
  setTimeout(() => socket.resume(), stallMs)
}
