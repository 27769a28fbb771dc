import { describe, expect, test } from 'vitest'
import {
  editDistance,
  memoryOptions,
  readFields,
  storeOptions,
  suggest,
} from '../../src/options.js'
import type { StoreOptions } from '../../src/types.js'
import { queryWindowOf, readWindow } from '../../src/window.js'
import { refusedArgument } from '../helpers/refusals.js'

test('the distance of words counts edits, a swap as one', () => {
  expect(editDistance('', 'abc')).toBe(3)
  expect(editDistance('kitten', 'sitting')).toBe(3)
  expect(editDistance('limti', 'limit')).toBe(1)
})

test('a near miss is suggested, a far one is not', () => {
  expect(suggest('readonly', ['readOnly', 'durability'])).toBe('readOnly')
  expect(suggest('xyz', ['readOnly', 'durability'])).toBeUndefined()
})

describe('options', () => {
  test('left out and undefined are the default', () => {
    expect(storeOptions(undefined)).toEqual(
      storeOptions({ durability: undefined, readOnly: undefined }),
    )
    expect(storeOptions({})).toMatchObject({
      durability: 0,
      readOnly: false,
      segmentMaxBytes: Number.NaN,
    })
  })

  test('are passed on', () => {
    expect(
      storeOptions({
        durability: 'interval',
        readOnly: true,
        fsyncIntervalMs: 1,
        fsyncEventCount: 2,
        maxInFlightBytes: 3,
        maxPayloadBytes: 4,
        segmentMaxBytes: 2 ** 20,
      }),
    ).toEqual({
      durability: 2,
      readOnly: true,
      fsyncIntervalMs: 1,
      fsyncEventCount: 2,
      maxInFlightBytes: 3,
      maxPayloadBytes: 4,
      segmentMaxBytes: 2 ** 20,
    })
  })

  test('that are unknown are refused with a suggestion', () => {
    const options = { fsyncIntervalMS: 5 } as StoreOptions
    expect(refusedArgument(() => storeOptions(options), 'options.fsyncIntervalMS')).toMatchObject({
      suggestion: 'fsyncIntervalMs',
    })
    refusedArgument(() => memoryOptions({ durability: 'none' } as object), 'options.durability')
    refusedArgument(() => readWindow({ orderBy: 'clock' }), 'options.orderBy')
  })

  test('of a wrong type or range are refused', () => {
    const wrong: [string, unknown[]][] = [
      ['durability', ['always', 1, null, true]],
      ['readOnly', ['true', 1, null]],
      ['fsyncIntervalMs', [0, -1, 1.5, Number.NaN, Number.POSITIVE_INFINITY, '100', 10n, null]],
      ['fsyncEventCount', [0, 2 ** 53, Number.NaN]],
      ['maxInFlightBytes', [0, Number.NaN]],
      ['maxPayloadBytes', [0, 48 * 2 ** 20 + 1]],
      ['segmentMaxBytes', [2 ** 20 - 1, 2 ** 32]],
    ]
    for (const [key, values] of wrong) {
      for (const value of values) {
        refusedArgument(() => storeOptions({ [key]: value }), `options.${key}`)
      }
    }
    for (const options of [null, 5, 'x', []]) {
      refusedArgument(() => storeOptions((options ?? 'null') as StoreOptions), 'options')
      refusedArgument(() => readFields(options, 'options', ['a']), 'options')
    }
  })

  test('have each getter called once, and what it throws becomes the cause', () => {
    let calls = 0
    const options = {
      get limit() {
        calls++
        return 5
      },
    }
    expect(readWindow(options)).toEqual({ limit: 5 })
    expect(calls).toBe(1)
    const cause = new Error('mine')
    const thrower = {
      get limit(): number {
        throw cause
      },
    }
    expect(refusedArgument(() => readWindow(thrower), 'options').cause).toBe(cause)
  })
})

describe('a window', () => {
  test('takes whole numbers in range', () => {
    const window = { from: 0, asOf: -1, limit: 0, backwards: true, orderBy: 'clock' }
    expect(queryWindowOf(window)).toEqual(window)
    expect(readWindow({ after: -1 })).toEqual({ after: -1 })
    expect(readWindow({ from: undefined, after: 3 })).toEqual({ after: 3 })
  })

  test('refuses what is none', () => {
    for (const key of ['from', 'after', 'asOf', 'limit']) {
      for (const value of [-2, 0.5, Number.NaN, Number.POSITIVE_INFINITY, '1', 1n, 2 ** 53, null]) {
        refusedArgument(() => readWindow({ [key]: value }), `options.${key}`)
      }
    }
    refusedArgument(() => readWindow({ from: -1 }), 'options.from')
    refusedArgument(() => readWindow({ limit: -1 }), 'options.limit')
    refusedArgument(() => readWindow({ from: 1, after: 1 }), 'options.after')
    refusedArgument(() => readWindow({ backwards: 1 }), 'options.backwards')
    refusedArgument(() => readWindow({ signal: {} }), 'options.signal')
    refusedArgument(() => queryWindowOf({ orderBy: 'time' }), 'options.orderBy')
  })
})
