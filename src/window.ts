// The window of a read: where it starts, where it ends, in which direction; and how it is packed.
import { invalidArgument } from './errors.js'
import { type CheckedFilter, writeFilters } from './filter.js'
import { abortSignal, boolean, integer, oneOf, readFields } from './options.js'
import { Packer } from './packer.js'

export interface Window {
  readonly from?: number
  readonly after?: number
  readonly asOf?: number
  readonly limit?: number
  readonly backwards?: boolean
  readonly orderBy?: 'position' | 'clock'
  readonly signal?: AbortSignal
}

type Mutable<T> = { -readonly [K in keyof T]: T[K] }

const READ_KEYS = ['from', 'after', 'asOf', 'limit', 'backwards', 'signal'] as const
const QUERY_KEYS = [...READ_KEYS, 'orderBy'] as const
const ORDERS = ['position', 'clock'] as const

const MAX = Number.MAX_SAFE_INTEGER

/** How each field of a window is checked; used by options and by the methods of a query alike. */
export const checkWindow = {
  from: (value: unknown, argument: string) => integer(value, argument, 0, MAX),
  after: (value: unknown, argument: string) => integer(value, argument, -1, MAX),
  asOf: (value: unknown, argument: string) => integer(value, argument, -1, MAX),
  limit: (value: unknown, argument: string) => integer(value, argument, 0, MAX),
  backwards: boolean,
  orderBy: (value: unknown, argument: string) => oneOf(value, argument, ORDERS),
  signal: abortSignal,
}

export function readWindow(options: unknown): Window {
  return windowOf(options, READ_KEYS)
}

export function queryWindowOf(options: unknown): Window {
  return windowOf(options, QUERY_KEYS)
}

function windowOf(options: unknown, keys: readonly (typeof QUERY_KEYS)[number][]): Window {
  if (options === undefined) return {}
  const given = readFields(options, 'options', keys)
  const window: Mutable<Window> = {}
  if (given.from !== undefined) window.from = checkWindow.from(given.from, 'options.from')
  if (given.after !== undefined) window.after = checkWindow.after(given.after, 'options.after')
  if (given.asOf !== undefined) window.asOf = checkWindow.asOf(given.asOf, 'options.asOf')
  if (given.limit !== undefined) window.limit = checkWindow.limit(given.limit, 'options.limit')
  if (given.backwards !== undefined) {
    window.backwards = checkWindow.backwards(given.backwards, 'options.backwards')
  }
  if (given.orderBy !== undefined) {
    window.orderBy = checkWindow.orderBy(given.orderBy, 'options.orderBy')
  }
  if (given.signal !== undefined) window.signal = checkWindow.signal(given.signal, 'options.signal')
  refuseTwoStarts(window, 'options.after')
  return window
}

/** `from` and `after` are two ways to say the same thing. */
export function refuseTwoStarts(window: Window, argument: string): void {
  if (window.from !== undefined && window.after !== undefined) {
    throw invalidArgument(argument, 'cannot be given together with from: use one of them')
  }
}

const KIND_ALL = 0
const KIND_STREAM = 1
const KIND_QUERY = 2
const KIND_ENTITIES = 3

const BACKWARDS = 1
const BY_CLOCK = 2

// Specs are copied by the native call that takes them, so one buffer serves them all.
const packer = new Packer()

function begin(kind: number, window: Window, limit: number | undefined): void {
  packer.reset()
  packer.u8(kind)
  packer.u8(
    (window.backwards === true ? BACKWARDS : 0) | (window.orderBy === 'clock' ? BY_CLOCK : 0),
  )
  packer.u8(0)
  packer.u8(0)
  packer.u32(0)
  packer.f64(window.from ?? Number.NaN)
  packer.f64(window.after ?? Number.NaN)
  packer.f64(window.asOf ?? Number.NaN)
  packer.f64(limit ?? Number.NaN)
}

export function allSpec(window: Window, limit: number | undefined): Uint8Array {
  begin(KIND_ALL, window, limit)
  return packer.written()
}

export function streamSpec(entity: string, window: Window, limit: number | undefined): Uint8Array {
  begin(KIND_STREAM, window, limit)
  packer.lengthAndText(entity, 'entity')
  return packer.written()
}

export function querySpec(
  filters: readonly CheckedFilter[],
  window: Window,
  limit: number | undefined,
): Uint8Array {
  begin(KIND_QUERY, window, limit)
  writeFilters(packer, filters)
  return packer.written()
}

export function entitiesSpec(
  prefix: string,
  after: string | undefined,
  limit: number | undefined,
): Uint8Array {
  begin(KIND_ENTITIES, {}, limit)
  packer.lengthAndText(prefix, 'options.prefix')
  packer.u8(after === undefined ? 0 : 1)
  packer.lengthAndText(after ?? '', 'options.after')
  return packer.written()
}
