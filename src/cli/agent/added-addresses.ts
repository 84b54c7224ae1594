// The forward addresses that an agent puts on its node. What does it is loaded only where it is asked for.

import type { ForwardConfig } from '../../config/agent-schema.ts'
import type { Logger } from '../../observe/log.ts'

export interface AddedAddresses {
  /** Takes off what was added. Once more does nothing. */
  remove(): void
}

/**
 * However the process ends, but for SIGKILL, they are taken off.
 * @throws an error that says what to do
 */
export async function addAddresses(forward: readonly ForwardConfig[], logger: Logger): Promise<AddedAddresses> {
  const wanted = [...new Set(forward.filter(({ addAddress }) => addAddress).map(({ listen }) => listen.address))]
  if (wanted.length === 0) return { remove: () => undefined }
  if (process.platform !== 'linux') throw new Error(`forward[].addAddress: not known how on ${process.platform}; add ${wanted.join(', ')} to the loopback device, and leave addAddress out`)
  const { LoopbackAddresses } = await import('../../relay/linux/loopback-addresses.ts')
  const addresses = new LoopbackAddresses()
  const remove = (): void => {
    try {
      addresses.removeAll()
    } catch (error) {
      logger.error({ error: error instanceof Error ? error.message : String(error) }, 'an address stays on the device lo')
    }
  }
  process.once('exit', remove)
  for (const address of wanted) {
    const result = addresses.add(address)
    logger.info({ address, device: 'lo' }, result === 'added' ? 'address added' : 'address was there already: it stays at the end')
  }
  return { remove }
}
