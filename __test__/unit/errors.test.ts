import { expect, test } from 'vitest'
import { fromNative, fromNativeText, invalidArgument, TetralogError } from '../../src/errors.js'

const native = (fields: object) =>
  new Error(JSON.stringify({ message: 'm', written: false, ...fields }))

test('a native error becomes a TetralogError with the fields of its code', () => {
  const error = fromNative(
    native({
      code: 'ERR_WRONG_EXPECTED_VERSION',
      entity: 'e',
      expected: 'none',
      actual: 3,
      index: null,
    }),
  ) as TetralogError<'ERR_WRONG_EXPECTED_VERSION'>
  expect(error).toBeInstanceOf(TetralogError)
  expect(error.name).toBe('TetralogError')
  expect(error.message).toBe('m')
  expect({ ...error }).toEqual({
    code: 'ERR_WRONG_EXPECTED_VERSION',
    written: false,
    entity: 'e',
    expected: 'none',
    actual: 3,
    index: undefined,
  })
})

test('an unknown outcome says so', () => {
  expect(
    fromNativeText(JSON.stringify({ code: 'ERR_POISONED', message: 'm', written: 'unknown' })),
  ).toMatchObject({
    code: 'ERR_POISONED',
    written: 'unknown',
  })
})

test('fields that the engine leaves out are there as undefined', () => {
  expect('pid' in (fromNative(native({ code: 'ERR_LOCKED', path: '/x' })) as object)).toBe(true)
  const error = fromNative(
    native({
      code: 'ERR_CORRUPT',
      damage: [{ segment: 1, offset: 2, length: 3, reason: 'r', positions: null, entities: ['e'] }],
    }),
  )
  expect(error).toMatchObject({ damage: [{ segment: 1, entities: ['e'] }] })
})

test('a panic in a native call is a coded error, with what it said as the cause', () => {
  const panic = Object.assign(new Error('index out of bounds'), { code: 'GenericFailure' })
  const error = fromNative(panic)
  expect(error).toBeInstanceOf(TetralogError)
  expect(error).toMatchObject({ code: 'ERR_POISONED', written: 'unknown', cause: panic })
})

test('what is not a native error is left alone', () => {
  for (const error of [
    new Error('boom'),
    new TypeError('{"a":1}'),
    new Error('{'),
    'text',
    undefined,
  ]) {
    expect(fromNative(error)).toBe(error)
  }
  const ours = invalidArgument('a', 'is wrong', 'b')
  expect(fromNative(ours)).toBe(ours)
  expect(ours.message).toBe("a is wrong. Did you mean 'b'?")
})
