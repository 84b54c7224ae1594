import { test } from 'tap'
import { socketPair, waitingSockets } from '../../../src/core/net/proc-net-tcp.ts'

// As Linux 6 on x86-64 writes them.
const table = `  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:192B 00000000:0000 0A 00000000:00000005 00:00000000 00000000     0        0 9691327 1 000000004df74b62 100 0 0 10 0
   1: 010200C0:9C40 020200C0:7AB7 01 00000018:00000000 01:00000164 00000005     0        0 9691400 2 000000004df74b62 4900 0 0 1 7
   2: 010200C0:9C41 020200C0:7AB7 01 00000018:00000000 01:00000014 00000000     0        0 9691401 2 000000004df74b62 20 4 30 10 -1
   3: 010200C0:9C42 020200C0:7AB7 01 00020000:00000000 04:00000164 00000000     0        0 9691402 2 000000004df74b62 20 4 30 10 -1
   4: 010200C0:9C43 020200C0:7AB7 01 00020000:00000000 04:00000164 00000000  1000       12 9691403 2 000000004df74b62 20 4 30 10 -1
   5: 010200C0:9C44 020200C0:7AB7 01 00000000:00000000 02:00000164 00000000     0        0 9691404 2 000000004df74b62 20 4 30 10 -1
`
const table6 = `  sl  local_address                         remote_address                        st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0000000000000000FFFF0000010200C0:192B 0000000000000000FFFF0000020200C0:7AB7 01 00000001:00000000 01:00000164 00000001     0        0 1 1 0 100 0 0 10 0
   1: B80D0120000000000000000001000000:192B B80D0120000000000000000002000000:7AB7 01 00000001:00000000 01:00000164 00000000     0        0 1 1 0 100 0 0 10 0
`

void test('who waits for an acknowledgement, and who in vain: sent again, or probed twice', async (t) => {
  t.same([...waitingSockets(table, { isLittleEndian: true })], [
    { pair: '192.0.2.1:40000 192.0.2.2:31415', inVain: true },
    { pair: '192.0.2.1:40001 192.0.2.2:31415', inVain: false },
    { pair: '192.0.2.1:40002 192.0.2.2:31415', inVain: false },
    { pair: '192.0.2.1:40003 192.0.2.2:31415', inVain: true },
  ])
  t.same([...waitingSockets(table6, { isLittleEndian: true })], [
    { pair: '192.0.2.1:6443 192.0.2.2:31415', inVain: true },
    { pair: '[2001:db8::1]:6443 [2001:db8::2]:31415', inVain: false },
  ], 'IPv4 in IPv6’s clothes is IPv4')
  t.equal(socketPair({ address: '2001:db8::1', port: 1 }, { address: '192.0.2.2', port: 2 }), '[2001:db8::1]:1 192.0.2.2:2')
  t.same([...waitingSockets('   0: C0000201:192B C0000202:7AB7 01 00000001:00000000 01:00000164 00000000     0        0 1', { isLittleEndian: false })], [{ pair: '192.0.2.1:6443 192.0.2.2:31415', inVain: false }])
})
