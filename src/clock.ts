// Clocks: one encoding for every helper, for dates and for the store's own clock, so that they
// compare: u64 big-endian nanoseconds since 1970.
import { isDate } from 'node:util/types'
import { invalidArgument, wrapThrown } from './errors.js'
import { describe, isBytes } from './packer.js'
import type { Bytes } from './types.js'

const NS_PER_MS = 1_000_000n
const MAX_NS = 0xffff_ffff_ffff_ffffn
const MAX_MS = Number(MAX_NS / NS_PER_MS)

export function isDateValue(value: unknown): value is Date {
  return value instanceof Date || isDate(value)
}

/** Writes the 8 bytes of a date's clock. */
export function writeDate(view: DataView, at: number, date: Date, argument: string): void {
  view.setBigUint64(at, nsOfMs(Date.prototype.getTime.call(date), argument, 'date'), false)
}

function nsOfMs(ms: number, argument: string, what: string): bigint {
  if (Number.isNaN(ms)) throw invalidArgument(argument, `is not a valid ${what}`)
  if (ms < 0) throw invalidArgument(argument, 'lies before 1970, where clocks begin')
  if (ms > MAX_MS) throw invalidArgument(argument, 'lies after the year 2554, where clocks end')
  // A fraction of a millisecond is kept as far as a double has it.
  const whole = Math.floor(ms)
  const ns = BigInt(whole) * NS_PER_MS + BigInt(Math.round((ms - whole) * 1e6))
  return ns > MAX_NS ? MAX_NS : ns
}

function encode(ns: bigint): Bytes {
  const bytes = new Uint8Array(8)
  new DataView(bytes.buffer).setBigUint64(0, ns, false)
  return bytes
}

/** A clock as bytes of its own, whatever the caller does with what was given. */
export function clockBytes(value: unknown, argument: string): Bytes {
  try {
    return bytesOf(value, argument)
  } catch (error) {
    throw wrapThrown(argument, error)
  }
}

function bytesOf(value: unknown, argument: string): Bytes {
  if (isDateValue(value)) {
    const bytes = new Uint8Array(8)
    writeDate(new DataView(bytes.buffer), 0, value, argument)
    return bytes
  }
  if (isBytes(value, argument)) return Uint8Array.from(value)
  throw invalidArgument(argument, `must be a Uint8Array or a Date, not ${describe(value)}`)
}

function decode(value: unknown): bigint {
  if (!isBytes(value, 'clock')) {
    throw invalidArgument('clock', `must be a Uint8Array, not ${describe(value)}`)
  }
  if (value.length !== 8) {
    throw invalidArgument(
      'clock',
      `has ${value.length} bytes, but only clocks of 8 bytes are nanoseconds since 1970`,
    )
  }
  return new DataView(value.buffer, value.byteOffset, 8).getBigUint64(0, false)
}

/**
 * Makes and reads clocks of 8 bytes: u64 big-endian nanoseconds since 1970, the scale of the
 * store's own clock. They reach to the year 2554.
 *
 * @example
 * ```ts
 * import { clock } from 'tetralog'
 *
 * const morning = clock.fromDate(new Date('2026-11-21T08:00:00Z'))
 * console.log(clock.toDate(morning).toISOString()) // 2026-11-21T08:00:00.000Z
 * console.log(clock.compare(morning, clock.fromMs(Date.now()))) // -1, 0 or 1
 * ```
 */
export const clock = Object.freeze({
  /** @throws {TetralogError} ERR_INVALID_ARGUMENT of an invalid date, or one outside 1970 to 2554. */
  fromDate(date: Date): Bytes {
    if (!isDateValue(date)) {
      throw invalidArgument('date', `must be a Date, not ${describe(date)}`)
    }
    return clockBytes(date, 'date')
  },

  /** Milliseconds since 1970, as of `Date.now()`; fractions are kept to the nanosecond. */
  fromMs(ms: number): Bytes {
    if (typeof ms !== 'number') {
      throw invalidArgument('ms', `must be a number, not ${describe(ms)}`)
    }
    return encode(nsOfMs(ms, 'ms', 'number'))
  },

  /** Nanoseconds since 1970: 0 to 2^64 - 1. */
  fromNs(ns: bigint): Bytes {
    if (typeof ns !== 'bigint') {
      throw invalidArgument('ns', `must be a bigint, not ${describe(ns)}`)
    }
    if (ns < 0n || ns > MAX_NS) {
      throw invalidArgument('ns', `must be from 0n to 2n ** 64n - 1n, not ${ns}n`)
    }
    return encode(ns)
  },

  /** To the millisecond, rounded down. Only of clocks of 8 bytes. */
  toDate(clock: Uint8Array): Date {
    return new Date(Number(decode(clock) / NS_PER_MS))
  },

  /** Only of clocks of 8 bytes. */
  toNs(clock: Uint8Array): bigint {
    return decode(clock)
  },

  /** The store's order: bytewise, a shorter prefix first. -1, 0 or 1. */
  compare(a: Uint8Array, b: Uint8Array): number {
    if (!isBytes(a, 'a')) throw invalidArgument('a', `must be a Uint8Array, not ${describe(a)}`)
    if (!isBytes(b, 'b')) throw invalidArgument('b', `must be a Uint8Array, not ${describe(b)}`)
    return Buffer.compare(a, b)
  },
}) as {
  fromDate(date: Date): Bytes
  fromMs(ms: number): Bytes
  fromNs(ns: bigint): Bytes
  toDate(clock: Uint8Array): Date
  toNs(clock: Uint8Array): bigint
  compare(a: Uint8Array, b: Uint8Array): number
}
