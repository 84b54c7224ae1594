import { test } from '../../../support/kernel-lane.ts'
import { LaneMaps, lanePlacesFor } from '../../../../src/relay/linux/kernel-lane/lane-maps.ts'
import { selfTest } from '../../../../src/relay/linux/kernel-lane/self-test.ts'
import { openDescriptors } from '../../../support/linux-driver.ts'

void test('the self-test passes on this kernel, time and again, and leaves nothing open', async (t) => {
  const before = openDescriptors()
  const maps = new LaneMaps(lanePlacesFor(1))
  for (let round = 0; round < 5; round++) selfTest(maps)
  maps.close()
  t.equal(openDescriptors(), before)
})

void test('a kernel that moves more or less than it says is found out', async (t) => {
  class Overstating extends LaneMaps {
    override redirected(mark: number): number {
      return super.redirected(mark) + 1
    }
  }
  const maps = new Overstating(lanePlacesFor(1))
  t.throws(() => selfTest(maps), { code: 'LANE_UNAVAILABLE', message: /self-test failed: / })
  maps.close()
})

void test('a kernel whose packets have other numbers is found out', async (t) => {
  class Misnumbered extends LaneMaps {
    override clear(mark: number, next: number): void {
      super.clear(mark, next - 1)
    }
  }
  const maps = new Misnumbered(lanePlacesFor(1))
  t.throws(() => selfTest(maps), { code: 'LANE_UNAVAILABLE', message: /self-test failed: its packets have other numbers than TCP gave them/ })
  maps.close()
})
