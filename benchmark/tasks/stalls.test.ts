import { describe, expect, test } from 'vitest'
import { Stalls } from './stalls.js'

function longest(
  appends: readonly (readonly [asked: number, ms: number])[],
  starts: number[] = [],
) {
  using stalls = new Stalls()
  for (const [index, [asked, ms]] of appends.entries()) stalls.add(asked, ms, index)
  return stalls.longest(0, starts, 0)
}

describe('the longest appends', () => {
  test('are the longest of all, the longest first', () => {
    const appends = Array.from({ length: 100 }, (_, index) => [index * 1000, 10 + index] as const)
    const found = longest(appends).map(({ ms }) => ms)
    expect(found).toEqual(Array.from({ length: 20 }, (_, index) => 109 - index))
  })

  test('have one of those that ended together', () => {
    const appends = [...[30, 50, 40].map((ms) => [1000 - ms, ms] as const), [2000, 20] as const]
    expect(longest(appends).map(({ ms }) => ms)).toEqual([50, 20])
  })

  test('say whether a segment began in them', () => {
    const found = longest(
      [
        [0, 30],
        [1000, 20],
      ],
      [1],
    )
    expect(found.map(({ isRotation }) => isRotation)).toEqual([false, true])
  })

  test.runIf(process.platform === 'linux')('say that this thread was running, if it was', () => {
    using stalls = new Stalls()
    stalls.add(performance.now(), 10, 0)
    const asked = performance.now()
    while (performance.now() - asked < 200);
    stalls.add(asked, performance.now() - asked, 1)
    const [main] = stalls.longest(0, [], 0)[0]?.threads ?? []
    expect(main?.name).toBe('JavaScript')
    expect((main?.ranMs ?? 0) + (main?.waitedMs ?? 0)).toBeGreaterThan(150)
  })
})
