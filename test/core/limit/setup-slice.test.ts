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

/** @returns what was done in one slice: `+` a newcomer, `.` a step of one who was accepted, `|` what they asked for */
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
    perform: () => {
      done += '|'
    },
  })
  return done
}

const stepsIn = (done: string): string => done.replaceAll('|', '')

void test('a slice does all that there is, while that is little, and performs what is asked for of several together', async (t) => {
  t.equal(slice({ accepted: 2, newcomers: 0 }), '..|')
  t.equal(slice({ accepted: 0, newcomers: 3 }), '|+++|')
  t.equal(slice({ accepted: 2, newcomers: 5 }), '..|+++++|')
})

void test('what deadlines have asked for is performed though nobody comes and nobody goes on', async (t) => {
  t.equal(slice({ accepted: 0, newcomers: 0 }), '|')
})

void test('a slice ends after 24 steps, and after a quarter of a millisecond', async (t) => {
  t.equal(stepsIn(slice({ accepted: 100, newcomers: 100 })).length, stepsPerSliceMax)
  t.equal(slice({ accepted: 0, newcomers: 100, stepMs: 0.05 }), '|++++++++|')
  t.equal(slice({ accepted: 0, newcomers: 100, stepMs: 0.02 }), '|++++++++|++++++++|')
  t.equal(slice({ accepted: 0, newcomers: 100, stepMs: 70 }), '|++++++++|', 'something is done in each, or nothing ever would be')
})

void test('those who were accepted go first, and a third of a slice is newcomers’ all the same', async (t) => {
  t.equal(slice({ accepted: 8, newcomers: 4 }), '........|++++|')
  t.equal(slice({ accepted: 20, newcomers: 20 }), '................|++++++++|')
  t.equal(slice({ accepted: 20, newcomers: 20, stepMs: 70 }), '................|++++++++|')
  t.equal(stepsIn(slice({ accepted: 20, newcomers: 0 })).length, 16)
})

void test('in a storm a slice’s newcomers are on their way at one time, and the others in the queue', async (t) => {
  const waiting = { accepted: 0, newcomers: 10_000, stepsEach: 2 }
  let acceptedMax = 0
  while (waiting.newcomers > 0) {
    slice(waiting)
    acceptedMax = Math.max(acceptedMax, waiting.accepted)
  }
  t.equal(acceptedMax, stepsPerSliceMax * waiting.stepsEach)
})
