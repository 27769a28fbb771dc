// Expected versions, as the binding takes them: a kind and a number.
import { invalidArgument } from './errors.js'
import { suggest } from './options.js'
import { describe } from './packer.js'

export const EXPECT_NOT_GIVEN = 0
export const EXPECT_VERSION = 4
/** What is no expected version has no kind. */
export const NO_EXPECTATION = -1

const WORDS = ['any', 'none', 'exists'] as const

/** The kind; the version that goes with kind 4 is the value itself. */
export function kindOfExpectation(value: unknown): number {
  switch (value) {
    case undefined:
      return EXPECT_NOT_GIVEN
    case 'any':
      return 1
    // The version of an entity without events, so that `expect: await store.version(id)` works.
    case 'none':
    case -1:
      return 2
    case 'exists':
      return 3
  }
  const isVersion = typeof value === 'number' && Number.isSafeInteger(value) && value >= 0
  return isVersion ? EXPECT_VERSION : NO_EXPECTATION
}

export function refusedExpectation(value: unknown, argument: string): Error {
  return invalidArgument(
    argument,
    `must be 'any', 'none', 'exists' or a version (an integer from -1 to 2^53 - 1), not ${describe(value)}`,
    typeof value === 'string' ? suggest(value, WORDS) : undefined,
  )
}

/** The kind of an argument whose name is at hand. */
export function expectationKind(value: unknown, argument: string): number {
  const kind = kindOfExpectation(value)
  if (kind === NO_EXPECTATION) throw refusedExpectation(value, argument)
  return kind
}
