// Alerts as RFC 8446 §6 lays them out, byte by byte.

import { test } from 'tap'
import { encodeFatalAlert, type AlertDescription } from '../../../src/core/tls/alert.ts'

const records: Readonly<Record<AlertDescription, string>> = {
  access_denied: '15030300020231',
  decode_error: '15030300020232',
  internal_error: '15030300020250',
  unrecognized_name: '15030300020270',
}

void test('an alert is one fatal record of 7 bytes', async (t) => {
  for (const [description, record] of Object.entries(records)) {
    t.equal(Buffer.from(encodeFatalAlert(description as AlertDescription)).toString('hex'), record, description)
  }
})
