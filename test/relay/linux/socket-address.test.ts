import { test } from '../../support/linux-only.ts'
import fc from 'fast-check'
import { formatIpAddress, ipAddressOf } from '../../../src/core/net/ip-address.ts'
import * as libc from '../../../src/relay/linux/libc.ts'
import { SocketAddressCell, socketAddressBytesMax } from '../../../src/relay/linux/socket-address.ts'

void test('an address survives the way into native memory and back', async () => {
  const cell = new SocketAddressCell()
  const bytes = fc.oneof(fc.uint8Array({ minLength: 4, maxLength: 4 }), fc.uint8Array({ minLength: 16, maxLength: 16 }))
  fc.assert(fc.property(bytes, fc.nat({ max: 65_535 }), (ip, port) => {
    const address = formatIpAddress(ipAddressOf(ip))
    const length = cell.encode({ address, port })
    const decoded = cell.decode()
    return length === (address.includes(':') ? socketAddressBytesMax : libc.sockaddrInBytes) && decoded.address === address && decoded.port === port
  }))
})

void test('IPv4 that is mapped into IPv6 is IPv4; what is no literal has no length', async (t) => {
  const cell = new SocketAddressCell()
  t.equal(cell.encode({ address: '::ffff:192.0.2.1', port: 1 }), libc.sockaddrInBytes)
  t.same(cell.decode(), { address: '192.0.2.1', port: 1 })
  for (const address of ['localhost', '', '192.0.2', '192.0.2.256', 'fe80::1%eth0', '[::1]']) t.equal(cell.encode({ address, port: 1 }), undefined, address)
})

void test('a loopback address is known as one', async (t) => {
  const cell = new SocketAddressCell()
  for (const address of ['127.0.0.1', '127.255.255.254', '::1', '::ffff:127.0.0.1']) {
    cell.encode({ address, port: 1 })
    t.ok(cell.isLoopback, address)
  }
  for (const address of ['126.0.0.1', '128.0.0.1', '10.127.0.1', '::', '::2', '::1:1', '100::1', '7f00::1']) {
    cell.encode({ address, port: 1 })
    t.notOk(cell.isLoopback, address)
  }
})

void test('the system reads what was encoded, and writes what is decoded', async (t) => {
  const cell = new SocketAddressCell()
  for (const address of ['127.0.0.1', '127.1.2.3', '::1']) {
    const length = cell.encode({ address, port: 0 })
    const fd = libc.check(libc.socket(address.includes(':') ? libc.AF_INET6 : libc.AF_INET, libc.SOCK_STREAM | libc.SOCK_CLOEXEC, 0), 'socket')
    const bound = libc.bind(fd, cell.address, length ?? 0)
    if (bound === -1 && address === '::1') t.comment('no IPv6 on loopback')
    else {
      t.equal(bound, 0, address)
      cell.expect()
      libc.check(libc.getsockname(fd, cell.address, cell.lengthAddress), 'getsockname')
      const decoded = cell.decode()
      t.equal(decoded.address, address)
      t.ok(decoded.port > 0)
    }
    libc.close(fd)
  }
})
