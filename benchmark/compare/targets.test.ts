import { describe, expect, test } from 'vitest'
import { type Contender, type Kind, type Measurement, take } from '../measurement.js'
import { judge, type Verdict } from './targets.js'

const contender = (kind: Kind, name: string, value: number): Contender => ({
  ...{ kind, name },
  round: () => value,
})

async function verdict(
  target: string,
  name: string,
  contenders: readonly Contender[],
  unit: Measurement['unit'] = 'events/s',
): Promise<Verdict | undefined> {
  const results = await take({ name, unit, size: '', contenders }, 3)
  return judge(results).find((found) => found.target === target)
}

describe('a target of two ratios', () => {
  const name = 'append, 64 callers, durable'
  const raw = contender('raw', 'raw file', 100)
  const own = contender('tetralog', 'await append()', 90)

  test('is met when both are', async () => {
    const peers = [contender('peer', 'slow', 10), contender('peer', 'fast', 20)]
    const found = await verdict(name, name, [raw, own, ...peers])
    expect(found).toMatchObject({ measured: '0.9 × raw, 4.5 × the best store', met: 'met' })
  })

  test('is missed when one is', async () => {
    const found = await verdict(name, name, [raw, own, contender('peer', 'fast', 80)])
    expect(found?.met).toBe('missed')
  })

  test('is not measured when there is nothing to compare with', async () => {
    expect((await verdict(name, name, [raw, own]))?.met).toBe('not measured')
  })
})

test('of times the shortest is the best', async () => {
  const own = contender('tetralog', 'Store.open()', 3)
  const peers = [contender('peer', 'slow', 9), contender('peer', 'fast', 2)]
  const found = await verdict('open, warm', 'open, warm', [own, ...peers], 'ms')
  expect(found).toMatchObject({ asked: '≤ 2.00 ms', met: 'missed' })
})

test('a target without any result is not measured', () => {
  expect(new Set(judge([]).map(({ met }) => met))).toEqual(new Set(['not measured']))
})
