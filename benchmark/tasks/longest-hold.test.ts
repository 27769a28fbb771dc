import { describe, expect, test } from 'vitest'
import { longest, longestHold } from './longest-hold.js'

const gap = (start: number, end: number, ranMs = end - start, waitedMs = 0) => {
  return { start, end, ranMs, waitedMs }
}

describe('the work of a hold', () => {
  test('is what the thread ran, without collecting garbage', () => {
    const hold = longest([gap(10, 18, 7)], [{ start: 12, end: 16 }])
    expect(hold).toEqual({ held: 8, gap: 8, collecting: 4, own: 4 })
  })

  test('has nothing taken off twice: a collection may have waited for a processor', () => {
    const hold = longest([gap(10, 18, 5, 3)], [{ start: 12, end: 16 }])
    expect(hold).toEqual({ held: 5, gap: 8, collecting: 4, own: 4 })
  })

  test('is never more than the thread ran', () => {
    expect(longest([gap(0, 8, 1, 0)], []).own).toBe(1)
  })

  test('need not be in the gap that is the longest', () => {
    const hold = longest([gap(0, 8, 8), gap(8, 11, 3)], [{ start: 1, end: 7 }])
    expect(hold).toMatchObject({ held: 8, own: 3 })
  })

  test('counts of a collection only what is in the gap', () => {
    expect(longest([gap(0, 4)], [{ start: 3, end: 9 }])).toMatchObject({ collecting: 1, own: 3 })
  })
})

test('a busy loop is seen as long as it is', async () => {
  const hold = await longestHold(async () => {
    await new Promise((resolve) => setTimeout(resolve, 5))
    for (const until = performance.now() + 20; performance.now() < until; );
  })
  expect(hold.gap).toBeGreaterThanOrEqual(20)
  expect(hold.own).toBeLessThanOrEqual(hold.gap)
})
