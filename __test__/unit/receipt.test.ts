import { expect, test } from 'vitest'
import { Outcomes } from '../../src/receipt.js'
import { packOutcomes } from '../helpers/packed.js'

test('receipts have their numbers, and the last version of each entity', () => {
  const outcomes = new Outcomes(
    packOutcomes([
      { sequence: 1, count: 2, position: 5, lastPosition: 6, version: 0, lastVersion: 1 },
      {
        sequence: 2,
        status: 1,
        count: 3,
        position: 7,
        lastPosition: 9,
        version: 2,
        lastVersion: 3,
        versions: [2, 0, 3],
      },
      { sequence: 3, count: 0, position: -1, lastPosition: -1, version: -1, lastVersion: -1 },
    ]),
  )
  expect(outcomes.sequence).toBe(1)
  expect(outcomes.receipt('a')).toEqual({
    position: 5,
    lastPosition: 6,
    version: 0,
    lastVersion: 1,
    count: 2,
    duplicate: false,
    versions: new Map([['a', 1]]),
  })
  outcomes.next()
  expect(outcomes.receipt(['a', 'b', 'a'])).toMatchObject({
    duplicate: true,
    versions: new Map([
      ['a', 3],
      ['b', 0],
    ]),
  })
  outcomes.next()
  expect(outcomes.receipt('')).toMatchObject({ count: 0, position: -1, versions: new Map() })
  outcomes.next()
  expect(outcomes.atEnd).toBe(true)
})

test('a failed outcome has its error', () => {
  const outcomes = new Outcomes(
    packOutcomes([
      {
        sequence: 1,
        error: {
          code: 'ERR_ID_CONFLICT',
          message: 'ü',
          written: false,
          entity: 'e',
          id: 'i',
          index: 0,
        },
      },
    ]),
  )
  expect(outcomes.failed).toBe(true)
  expect(outcomes.error()).toMatchObject({ code: 'ERR_ID_CONFLICT', message: 'ü', index: 0 })
})
