import { test } from 'tap'
import { runSetupSlice, stepsPerSliceMax } from '../../../src/core/limit/setup-slice.ts'

interface Waiting {
  /** Steps of those who were accepted. */
  accepted: number
  newcomers: number
  /** What a newcomer brings, in steps. */
  readonly stepsEach?: number
  readonly stepMs?: number
}

/** @returns what was done in one slice: `+` a newcomer, `.` a step of one who was accepted */
function slice(waiting: Waiting): string {
  let nowMs = 1_000
  let done = ''
  runSetupSlice({
    nowMs: () => nowMs,
    goOn: () => {
      if (waiting.accepted === 0) return false
      waiting.accepted -= 1
      nowMs += waiting.stepMs ?? 0
      done += '.'
      return true
    },
    accept: () => {
      if (waiting.newcomers === 0) return false
      waiting.newcomers -= 1
      waiting.accepted += waiting.stepsEach ?? 0
      nowMs += waiting.stepMs ?? 0
      done += '+'
      return true
    },
  })
  return done
}

void test('a slice does all that there is, while that is little', async (t) => {
  t.equal(slice({ accepted: 0, newcomers: 0 }), '')
  t.equal(slice({ accepted: 2, newcomers: 0 }), '..')
  t.equal(slice({ accepted: 0, newcomers: 5 }), '+++++')
  t.equal(slice({ accepted: 2, newcomers: 3 }), '..+++')
})

void test('a slice ends after 16 steps, and after a quarter of a millisecond', async (t) => {
  t.equal(slice({ accepted: 100, newcomers: 100 }).length, stepsPerSliceMax)
  t.equal(slice({ accepted: 100, newcomers: 100, stepMs: 0.0625 }).length, 4)
  t.equal(slice({ accepted: 0, newcomers: 100, stepMs: 70 }).length, 1, 'something is done in each, or nothing ever would be')
})

void test('those who were accepted go first, and every fourth step is a newcomer’s all the same', async (t) => {
  t.equal(slice({ accepted: 8, newcomers: 4 }), '...+...+..++')
  t.equal(slice({ accepted: 6, newcomers: 0 }), '......')
})

void test('in a storm two are on their way at one time, and the others in the queue', async (t) => {
  const waiting = { accepted: 0, newcomers: 10_000, stepsEach: 2 }
  let acceptedMax = 0
  while (waiting.newcomers > 0) {
    slice(waiting)
    acceptedMax = Math.max(acceptedMax, waiting.accepted)
  }
  t.equal(acceptedMax, 2 * waiting.stepsEach)
})
