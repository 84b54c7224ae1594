// What own-resolver.ts says, in a network of its own where names are asked of 127.0.0.1.

import { spawnSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { test } from 'tap'

/** The rest of the command runs in there; `$0` has what is seen as files of /etc. */
const inOwnNetwork = ['--map-root-user', '--net', '--mount', 'sh', '-c', `ip link set lo up && cd "$0" && for file in *; do mount --bind $file /etc/$file || exit; done && cd "$OLDPWD" && exec "$@"`]
const etc = {
  'hosts': '127.0.0.1 localhost\n127.0.0.1 both.example.test\n::1 both.example.test\n',
  'nsswitch.conf': 'hosts: files dns\n',
  'resolv.conf': 'nameserver 127.0.0.1\noptions timeout:2 attempts:1\n',
}
const asked = 'require("dns").lookup("api.example.test", (error) => process.exit(error?.code === "EAI_AGAIN" ? 0 : 1))'

void test('a resolver that can’t be asked, or is silent', async (t) => {
  const inside = [...inOwnNetwork, t.testdir(etc), process.execPath]
  const { status, stderr } = spawnSync('unshare', [...inside, '-e', asked], { encoding: 'utf8', timeout: 20_000 })
  if (status === 0) await t.spawn('unshare', [...inside, fileURLToPath(new URL('own-resolver.ts', import.meta.url))], 'own-resolver.ts')
  else t.pass(`no namespaces, or another resolver in them: ${stderr}`, { skip: true })
})
