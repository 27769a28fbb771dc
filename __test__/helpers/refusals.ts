// What every refusal has in common.
import { expect } from 'vitest'
import { type ErrorCode, type ErrorDetails, TetralogError } from '../../src/errors.js'

function thrownBy(call: () => unknown): unknown {
  try {
    call()
  } catch (error) {
    return error
  }
  throw new Error('nothing was thrown')
}

function check(error: unknown, code: ErrorCode, fields: object): TetralogError {
  expect(error).toBeInstanceOf(TetralogError)
  expect(error).toBeInstanceOf(Error)
  expect(error).toMatchObject({ code, written: false, ...fields })
  return error as TetralogError
}

export function refused<C extends ErrorCode>(
  call: () => unknown,
  code: C,
  fields: Partial<ErrorDetails[C]> = {},
): TetralogError {
  return check(thrownBy(call), code, fields)
}

export function refusedArgument(call: () => unknown, argument: string): TetralogError {
  return refused(call, 'ERR_INVALID_ARGUMENT', { argument })
}

/** The call must give a promise, and that must reject. */
export async function rejected<C extends ErrorCode>(
  call: () => Promise<unknown>,
  code: C,
  fields: Partial<ErrorDetails[C]> = {},
): Promise<TetralogError> {
  const error = await call().then(
    () => {
      throw new Error('nothing was rejected')
    },
    (error: unknown) => error,
  )
  return check(error, code, fields)
}

export function rejectedArgument(
  call: () => Promise<unknown>,
  argument: string,
): Promise<TetralogError> {
  return rejected(call, 'ERR_INVALID_ARGUMENT', { argument })
}
