// A real ClientHello, captured from Node's own TLS client: it connects over a stream in memory that keeps the first
// flight and never answers. So the hello is what OpenSSL sends today, key shares and all, and needs no server.

import { Duplex } from 'node:stream'
import { connect } from 'node:tls'

const contentTypeHandshake = 22
const recordHeaderBytes = 5

/**
 * @param serverName sent as server_name
 * @returns one whole TLS record, some 1.5 KiB with today's hybrid key share
 */
export async function captureClientHello(serverName: string): Promise<Buffer> {
  return await new Promise((resolve, reject) => {
    let flight = Buffer.alloc(0)
    const wire = new Duplex({
      read: () => undefined,
      write: (chunk: Buffer, _encoding, done) => {
        flight = Buffer.concat([flight, chunk])
        const length = recordLength(flight)
        if (length !== undefined && flight.length >= length) {
          if (flight[0] === contentTypeHandshake) resolve(flight.subarray(0, length))
          else reject(new Error(`the first TLS record has type ${flight[0]}, not handshake`))
          wire.destroy()
        }
        done()
      },
    })
    // As kubectl does: HTTP/2 is offered first.
    const client = connect({ socket: wire, servername: serverName, ALPNProtocols: ['h2', 'http/1.1'] })
    // Once the hello is there, that its stream has gone is no news.
    client.on('error', reject)
  })
}

function recordLength(bytes: Buffer): number | undefined {
  return bytes.length < recordHeaderBytes ? undefined : recordHeaderBytes + bytes.readUInt16BE(3)
}
