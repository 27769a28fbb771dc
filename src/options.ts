// Reading an options object at the edge: every known key once, unknown keys refused.
import { invalidArgument, wrapThrown } from './errors.js'
import type { Watching } from './opening.js'
import { describe, isRecord } from './packer.js'
import type { Durability, MemoryOptions, StoreOptions } from './types.js'

type Fields<K extends string> = { readonly [P in K]?: unknown }

const MIB = 1024 * 1024

/** The distance of two short words in edits: insert, delete, replace, swap neighbours. */
export function editDistance(a: string, b: string): number {
  let before: number[] = []
  let previous = Array.from({ length: b.length + 1 }, (_, j) => j)
  for (let i = 1; i <= a.length; i++) {
    const row = [i]
    for (let j = 1; j <= b.length; j++) {
      const same = a[i - 1] === b[j - 1]
      let best = Math.min(
        (previous[j] as number) + 1,
        (row[j - 1] as number) + 1,
        (previous[j - 1] as number) + (same ? 0 : 1),
      )
      if (i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1]) {
        best = Math.min(best, (before[j - 2] as number) + 1)
      }
      row.push(best)
    }
    before = previous
    previous = row
  }
  return previous[b.length] as number
}

/** The known word that was probably meant, if there is one. */
export function suggest(word: string, known: readonly string[]): string | undefined {
  let best: string | undefined
  let bestDistance = Number.POSITIVE_INFINITY
  if (word.length > 64) return undefined
  for (const candidate of known) {
    const distance = editDistance(word.toLowerCase(), candidate.toLowerCase())
    if (distance < bestDistance) {
      best = candidate
      bestDistance = distance
    }
  }
  return bestDistance <= Math.max(2, Math.floor(word.length / 3)) ? best : undefined
}

/** Refuses the first own key that is not known. */
export function refuseUnknownKeys(value: object, argument: string, known: readonly string[]): void {
  for (const key of Object.keys(value)) {
    if (!known.includes(key)) {
      const words = known.join(', ')
      throw invalidArgument(
        `${argument}.${key}`,
        `is not known; there are ${words}`,
        suggest(key, known),
      )
    }
  }
}

/** A copy of the known fields of an options object; each of its getters is called once. */
export function readFields<K extends string>(
  value: unknown,
  argument: string,
  known: readonly K[],
): Fields<K> {
  try {
    if (!isRecord(value)) {
      throw invalidArgument(argument, `must be a plain object, not ${describe(value)}`)
    }
    refuseUnknownKeys(value, argument, known)
    const fields: { [P in K]?: unknown } = {}
    for (const key of known) {
      const field = (value as Fields<K>)[key]
      if (field !== undefined) fields[key] = field
    }
    return fields
  } catch (error) {
    throw wrapThrown(argument, error)
  }
}

/** An integer between two bounds; NaN, infinities and fractions are refused. */
export function integer(value: unknown, argument: string, min: number, max: number): number {
  if (typeof value !== 'number') {
    throw invalidArgument(argument, `must be a number, not ${describe(value)}`)
  }
  if (!Number.isInteger(value) || value < min || value > max) {
    const top = max === Number.MAX_SAFE_INTEGER ? '2^53 - 1' : String(max)
    throw invalidArgument(argument, `must be an integer from ${min} to ${top}, not ${value}`)
  }
  return value === 0 ? 0 : value
}

export function boolean(value: unknown, argument: string): boolean {
  if (typeof value !== 'boolean') {
    throw invalidArgument(argument, `must be true or false, not ${describe(value)}`)
  }
  return value
}

/** One of a few words, with a suggestion for a near miss. */
export function oneOf<W extends string>(value: unknown, argument: string, words: readonly W[]): W {
  if (typeof value === 'string' && (words as readonly string[]).includes(value)) return value as W
  const list = words.map((word) => `'${word}'`).join(', ')
  throw invalidArgument(
    argument,
    `must be one of ${list}, not ${describe(value)}`,
    typeof value === 'string' ? suggest(value, words) : undefined,
  )
}

/** An AbortSignal; also of another realm, so it is known by what it can do. */
export function abortSignal(value: unknown, argument: string): AbortSignal {
  try {
    if (isSignal(value)) return value
  } catch (error) {
    throw wrapThrown(argument, error)
  }
  throw invalidArgument(argument, `must be an AbortSignal, not ${describe(value)}`)
}

function isSignal(value: unknown): value is AbortSignal {
  const signal = value as Partial<AbortSignal> | null
  return (
    typeof signal === 'object' &&
    signal !== null &&
    typeof signal.aborted === 'boolean' &&
    typeof signal.addEventListener === 'function'
  )
}

const DURABILITIES: readonly Durability[] = ['sync', 'interval', 'none']

/** The binding's number: 0 is the store's own, or the default. */
export function durabilityNumber(value: unknown, argument: string): number {
  if (value === undefined) return 0
  return DURABILITIES.indexOf(oneOf(value, argument, DURABILITIES)) + 1
}

/** What the native constructors take; NaN is the default. */
export interface NativeOptions {
  durability: number
  readOnly: boolean
  fsyncIntervalMs: number
  fsyncEventCount: number
  maxInFlightBytes: number
  maxPayloadBytes: number
  segmentMaxBytes: number
}

const MEMORY_KEYS = ['maxPayloadBytes', 'segmentMaxBytes'] as const
const STORE_KEYS = [
  ...MEMORY_KEYS,
  'durability',
  'readOnly',
  'fsyncIntervalMs',
  'fsyncEventCount',
  'maxInFlightBytes',
] as const
const WATCHING_KEYS = ['signal', 'onProgress'] as const

function numberOr(value: unknown, key: string, min: number, max: number): number {
  return value === undefined ? Number.NaN : integer(value, `options.${key}`, min, max)
}

export function storeOptions(options: StoreOptions | undefined): NativeOptions & Watching {
  const fields = readFields(options ?? {}, 'options', [...STORE_KEYS, ...WATCHING_KEYS])
  const { signal } = fields
  return {
    ...nativeOptions(fields),
    signal: signal === undefined ? undefined : abortSignal(signal, 'options.signal'),
    onProgress: progressListener(fields.onProgress),
  }
}

export function progressListener<P>(value: unknown): ((progress: P) => void) | undefined {
  if (value === undefined || typeof value === 'function') return value as (progress: P) => void
  throw invalidArgument('options.onProgress', `must be a function, not ${describe(value)}`)
}

export function memoryOptions(options: MemoryOptions | undefined): NativeOptions {
  return nativeOptions(readFields(options ?? {}, 'options', MEMORY_KEYS))
}

function nativeOptions(fields: Fields<(typeof STORE_KEYS)[number]>): NativeOptions {
  const { readOnly } = fields
  return {
    durability: durabilityNumber(fields.durability, 'options.durability'),
    readOnly: readOnly === undefined ? false : boolean(readOnly, 'options.readOnly'),
    fsyncIntervalMs: numberOr(fields.fsyncIntervalMs, 'fsyncIntervalMs', 1, 3_600_000),
    fsyncEventCount: numberOr(
      fields.fsyncEventCount,
      'fsyncEventCount',
      1,
      Number.MAX_SAFE_INTEGER,
    ),
    maxInFlightBytes: numberOr(
      fields.maxInFlightBytes,
      'maxInFlightBytes',
      1,
      Number.MAX_SAFE_INTEGER,
    ),
    maxPayloadBytes: numberOr(fields.maxPayloadBytes, 'maxPayloadBytes', 1, 48 * MIB),
    segmentMaxBytes: numberOr(fields.segmentMaxBytes, 'segmentMaxBytes', MIB, 4096 * MIB - 1),
  }
}
