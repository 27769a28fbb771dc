// Filters: checked and copied at the call, encoded when a read or an append needs them.
import { clockBytes } from './clock.js'
import { invalidArgument, wrapThrown } from './errors.js'
import { integer, refuseUnknownKeys } from './options.js'
import { describe, isRecord, type Packer, wellFormed } from './packer.js'
import type { Bytes, ClockRange, Filter, Pattern } from './types.js'

const FILTER_KEYS = ['entity', 'fact', 'scope', 'clock', 'tags'] as const
const CLOCK_KEYS = ['from', 'to', 'before'] as const
const TAG_KEYS = ['any', 'all'] as const

/** A filter of our own: checked, copied and frozen. */
export interface CheckedFilter extends Filter {
  readonly entity?: readonly Pattern[]
  readonly fact?: readonly string[]
  readonly scope?: readonly Pattern[]
  readonly clock?: CheckedRange
}

export interface CheckedRange extends ClockRange {
  readonly from?: Bytes
  readonly to?: Bytes
  readonly before?: Bytes
}

/** Holds of every event. */
export const EVERYTHING: readonly CheckedFilter[] = Object.freeze([Object.freeze({})])

const PATTERN = 0
const EXACT = 1
const PREFIX = 2

/** Reads each key that is there, once; one that is there but undefined is refused. */
function givenFields<K extends string>(
  value: unknown,
  argument: string,
  known: readonly K[],
): { readonly [P in K]?: unknown } {
  if (!isRecord(value)) {
    throw invalidArgument(argument, `must be a plain object, not ${describe(value)}`)
  }
  refuseUnknownKeys(value, argument, known)
  const fields: { [P in K]?: unknown } = {}
  for (const key of known) {
    if (!(key in value)) continue
    const field = (value as { [P in K]?: unknown })[key]
    if (field === undefined) {
      throw invalidArgument(
        `${argument}.${key}`,
        'is undefined, which would match everything: leave the key out to mean that',
      )
    }
    fields[key] = field
  }
  return fields
}

/** Filters from what a caller gave: one or a list. */
export function checkFilters(value: unknown, argument: string): readonly CheckedFilter[] {
  try {
    if (!Array.isArray(value)) return Object.freeze([checkFilter(value, argument)])
    return Object.freeze(
      Array.from(value, (filter: unknown, i) => checkFilter(filter, `${argument}[${i}]`)),
    )
  } catch (error) {
    throw wrapThrown(argument, error)
  }
}

export function checkFilter(value: unknown, argument: string): CheckedFilter {
  const given = givenFields(value, argument, FILTER_KEYS)
  const filter: { -readonly [K in keyof CheckedFilter]: CheckedFilter[K] } = {}
  if (given.entity !== undefined) filter.entity = checkPatterns(given.entity, `${argument}.entity`)
  if (given.fact !== undefined) filter.fact = checkFacts(given.fact, `${argument}.fact`)
  if (given.scope !== undefined) filter.scope = checkScopes(given.scope, `${argument}.scope`)
  if (given.clock !== undefined) filter.clock = checkRange(given.clock, `${argument}.clock`)
  if (given.tags !== undefined) filter.tags = checkTags(given.tags, `${argument}.tags`)
  return Object.freeze(filter)
}

export function checkPatterns(value: unknown, argument: string): readonly Pattern[] {
  if (!Array.isArray(value)) return Object.freeze([checkPattern(value, argument)])
  return Object.freeze(
    Array.from(value, (pattern: unknown, i) => checkPattern(pattern, `${argument}[${i}]`)),
  )
}

/** As a prefix of characters, `org:acme*` would take in `org:acme2`: only whole parts of a scope. */
export function checkScopes(value: unknown, argument: string): readonly Pattern[] {
  const patterns = checkPatterns(value, argument)
  for (const pattern of patterns) {
    if (typeof pattern !== 'string' || pattern === '*') continue
    if (pattern.endsWith('*') && !pattern.endsWith('/*')) {
      throw invalidArgument(
        argument,
        `'${pattern}' ends in '*' but not in '/*': write '${pattern.slice(0, -1)}/*' for the scope and what is below it, or { prefix } for a prefix of characters`,
      )
    }
  }
  return patterns
}

function checkPattern(value: unknown, argument: string): Pattern {
  if (typeof value === 'string') return wellFormed(value, argument)
  try {
    return literalPattern(value, argument)
  } catch (error) {
    throw wrapThrown(argument, error)
  }
}

function literalPattern(value: unknown, argument: string): Pattern {
  if (typeof value !== 'object' || value === null) {
    throw invalidArgument(
      argument,
      `must be a string, { exact } or { prefix }, not ${describe(value)}`,
    )
  }
  const given = givenFields(value, argument, ['exact', 'prefix'])
  if ((given.exact === undefined) === (given.prefix === undefined)) {
    throw invalidArgument(argument, 'must have one of exact and prefix')
  }
  return Object.freeze(
    given.exact !== undefined
      ? { exact: wellFormed(given.exact, `${argument}.exact`) }
      : { prefix: wellFormed(given.prefix, `${argument}.prefix`) },
  )
}

export function checkFacts(value: unknown, argument: string): readonly string[] {
  return Array.isArray(value)
    ? checkStrings(value, argument)
    : Object.freeze([wellFormed(value, argument)])
}

export function checkStrings(value: unknown, argument: string): readonly string[] {
  if (!Array.isArray(value)) {
    throw invalidArgument(argument, `must be an array of strings, not ${describe(value)}`)
  }
  return Object.freeze(
    Array.from(value, (text: unknown, i) => wellFormed(text, `${argument}[${i}]`)),
  )
}

function checkRange(value: unknown, argument: string): CheckedRange {
  const given = givenFields(value, argument, CLOCK_KEYS)
  const range: { -readonly [K in keyof CheckedRange]: CheckedRange[K] } = {}
  for (const key of CLOCK_KEYS) {
    const bound = given[key]
    if (bound !== undefined) range[key] = clockBytes(bound, `${argument}.${key}`)
  }
  return Object.freeze(range)
}

function checkTags(value: unknown, argument: string): NonNullable<Filter['tags']> {
  const given = givenFields(value, argument, TAG_KEYS)
  const tags: { any?: readonly string[]; all?: readonly string[] } = {}
  if (given.any !== undefined) tags.any = checkStrings(given.any, `${argument}.any`)
  if (given.all !== undefined) tags.all = checkStrings(given.all, `${argument}.all`)
  return Object.freeze(tags)
}

/** A query is known by its filters, and by its window if it is one of ours. */
interface Filtered {
  readonly filters: unknown
}

/** Tells the window of a query; set by query.ts, which this file must not import. */
export const queryWindow: { of: (value: object) => string | undefined } = { of: () => undefined }

/** What `unless.match` takes: filters, and anything that has filters. */
function matchFilters(value: unknown, argument: string): readonly CheckedFilter[] {
  if (!Array.isArray(value)) return oneMatch(value, argument)
  return Array.from(value, (one: unknown, i) => oneMatch(one, `${argument}[${i}]`)).flat()
}

function oneMatch(value: unknown, argument: string): readonly CheckedFilter[] {
  if (typeof value !== 'object' || value === null || !('filters' in value)) {
    return [checkFilter(value, argument)]
  }
  const window = queryWindow.of(value)
  if (window !== undefined) {
    throw invalidArgument(
      argument,
      `is a query with a window (${window}), but a condition is about all events: leave the window out`,
    )
  }
  const { filters } = value as Filtered
  if (!Array.isArray(filters)) {
    throw invalidArgument(`${argument}.filters`, `must be an array, not ${describe(filters)}`)
  }
  return checkFilters(filters, `${argument}.filters`)
}

/** Writes the conditions of an append, and gives their number. */
export function writeConditions(packer: Packer, unless: unknown): number {
  if (unless === undefined) return 0
  if (!Array.isArray(unless)) {
    writeCondition(packer, unless, 'options.unless')
    return 1
  }
  const count = unless.length
  for (let i = 0; i < count; i++) writeCondition(packer, unless[i], `options.unless[${i}]`)
  return count
}

function writeCondition(packer: Packer, condition: unknown, argument: string): void {
  if (typeof condition !== 'object' || condition === null || Array.isArray(condition)) {
    throw invalidArgument(argument, `must be { match, after }, not ${describe(condition)}`)
  }
  refuseUnknownKeys(condition, argument, ['match', 'after'])
  const { match, after } = condition as { match?: unknown; after?: unknown }
  if (match === undefined) {
    throw invalidArgument(`${argument}.match`, 'is missing: {} matches every event')
  }
  packer.f64(
    after === undefined ? -1 : integer(after, `${argument}.after`, -1, Number.MAX_SAFE_INTEGER),
  )
  writeFilters(packer, matchFilters(match, `${argument}.match`))
}

/** An empty list matches nothing; no filters at all would mean everything to the engine. */
const NOTHING: CheckedFilter = Object.freeze({ fact: Object.freeze([]) })

export function writeFilters(packer: Packer, filters: readonly CheckedFilter[]): void {
  if (filters.length === 0) {
    packer.u32(1)
    writeFilter(packer, NOTHING)
    return
  }
  packer.u32(filters.length)
  for (const filter of filters) {
    // To have all of no tags is true of everything; but an empty list matches nothing, here too.
    writeFilter(packer, filter.tags?.all?.length === 0 ? NOTHING : filter)
  }
}

function writeFilter(packer: Packer, filter: CheckedFilter): void {
  const { entity, fact, scope, clock, tags } = filter
  packer.u8(
    (entity === undefined ? 0 : 1) |
      (fact === undefined ? 0 : 2) |
      (scope === undefined ? 0 : 4) |
      (clock === undefined ? 0 : 8) |
      (tags?.any === undefined ? 0 : 16) |
      (tags?.all === undefined ? 0 : 32),
  )
  if (entity !== undefined) writePatterns(packer, entity)
  if (fact !== undefined) writeStrings(packer, fact)
  if (scope !== undefined) writePatterns(packer, scope)
  if (clock !== undefined) {
    const { from, to, before } = clock
    packer.u8(
      (from === undefined ? 0 : 1) | (to === undefined ? 0 : 2) | (before === undefined ? 0 : 4),
    )
    for (const bound of [from, to, before]) if (bound !== undefined) packer.lengthAndBytes(bound)
  }
  if (tags?.any !== undefined) writeStrings(packer, tags.any)
  if (tags?.all !== undefined) writeStrings(packer, tags.all)
}

function writePatterns(packer: Packer, patterns: readonly Pattern[]): void {
  packer.u32(patterns.length)
  for (const pattern of patterns) {
    if (typeof pattern === 'string') {
      packer.u8(PATTERN)
      packer.lengthAndText(pattern, 'pattern')
    } else if ('exact' in pattern) {
      packer.u8(EXACT)
      packer.lengthAndText(pattern.exact, 'pattern')
    } else {
      packer.u8(PREFIX)
      packer.lengthAndText(pattern.prefix, 'pattern')
    }
  }
}

function writeStrings(packer: Packer, strings: readonly string[]): void {
  packer.u32(strings.length)
  for (const text of strings) packer.lengthAndText(text, 'string')
}
