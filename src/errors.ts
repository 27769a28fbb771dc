// The one error class, and the only place where a native error becomes one of ours.
import type { Damage, ExpectedVersion } from './types.js'

/** The fields that an error carries beside `code` and `written`, by its code. */
export interface ErrorDetails {
  /** An expectation does not hold. `index` is the event's place in the append, if it was on an event. */
  ERR_WRONG_EXPECTED_VERSION: {
    entity: string
    expected: ExpectedVersion
    actual: number
    index: number | undefined
  }
  /** An event matches `unless[index]`; `position` is the first such event's. Read again and decide again. */
  ERR_CONDITION_FAILED: { position: number; index: number }
  /** Some of the append's ids are stored already, but not all of them in this order. */
  ERR_ID_CONFLICT: { entity: string; id: string; index: number }
  /** An argument is wrong; nothing has happened. */
  ERR_INVALID_ARGUMENT: { argument: string; suggestion: string | undefined }
  /** Something is larger than the store takes. */
  ERR_LIMIT_EXCEEDED: { argument: string; limit: number; actual: number }
  /** The stored bytes are not what the content type says; `event.bytes()` has them. */
  ERR_PAYLOAD_DECODE: { position: number; contentType: string }
  /** The position lies beyond the head. */
  ERR_POSITION_AHEAD: { position: number; head: number }
  /** The log is damaged where it was read. */
  ERR_CORRUPT: { damage: readonly Damage[] }
  /** Another writer has the store open. */
  ERR_LOCKED: { path: string; pid: number | undefined }
  /** The directory is not a store, or one of a format that this version cannot read. */
  ERR_FORMAT: { path: string }
  /** More waits for the writer than `maxInFlightBytes`; try again when earlier appends have settled. */
  ERR_OVERLOADED: { pendingBytes: number }
  /** The log has another event at the checkpoint's position, or none. */
  ERR_CHECKPOINT_DIVERGED: { position: number }
  /** The operating system refused to read or write. */
  ERR_IO: { path: string; errno: string }
  /** The disk is full. */
  ERR_DISK_FULL: { path: string }
  /** A sync failed, so the store takes no more appends: open it again. */
  ERR_POISONED: Record<never, never>
  /** The store was opened read-only, or is so because of damage. */
  ERR_READ_ONLY: Record<never, never>
  /** The store is closed. */
  ERR_CLOSED: Record<never, never>
}

/** The stable codes of {@link TetralogError}. */
export type ErrorCode = keyof ErrorDetails

type Written = false | 'unknown'

/** `written`: false if nothing was; 'unknown' if only reopening can tell (then retry with the same ids). */
type Coded<C extends ErrorCode> = Error & {
  readonly code: C
  readonly written: Written
} & Readonly<ErrorDetails[C]>

/**
 * Every error of this package. `code` narrows to the fields of its kind; `written` says whether an
 * append may have been stored all the same.
 *
 * @example
 * ```ts
 * import { Store, TetralogError } from 'tetralog'
 *
 * const store = await Store.memory()
 * await store.append({ entity: 'order:1', fact: 'placed' })
 * try {
 *   await store.append({ entity: 'order:1', fact: 'placed' }, { expect: 'none' })
 * } catch (error) {
 *   if (error instanceof TetralogError && error.code === 'ERR_WRONG_EXPECTED_VERSION') {
 *     console.log(error.actual) // 0
 *   } else throw error
 * }
 * await store.close()
 * ```
 */
export type TetralogError<C extends ErrorCode = ErrorCode> = { [K in C]: Coded<K> }[C]

class CodedError extends Error {
  readonly code: string
  readonly written: Written

  constructor(
    code: string,
    message: string,
    written: Written,
    details: object,
    options?: ErrorOptions,
  ) {
    super(message, options)
    this.code = code
    this.written = written
    Object.assign(this, details)
  }

  // A getter of the prototype, so that inspecting an error does not list its name as a field.
  override get name(): string {
    return 'TetralogError'
  }
}
Object.defineProperty(CodedError, 'name', { value: 'TetralogError' })

export const TetralogError: {
  readonly prototype: TetralogError
  new (internal: never): TetralogError
} = CodedError as unknown as {
  readonly prototype: TetralogError
  new (internal: never): TetralogError
}

function coded<C extends ErrorCode>(
  code: C,
  message: string,
  details: ErrorDetails[C],
  options?: ErrorOptions,
): TetralogError {
  return new CodedError(code, message, false, details, options) as unknown as TetralogError
}

/** `argument` names what is wrong as the caller would write it: `events[3].payload.total`. */
export function invalidArgument(
  argument: string,
  problem: string,
  suggestion?: string,
  options?: ErrorOptions,
): TetralogError {
  const hint = suggestion === undefined ? '' : ` Did you mean '${suggestion}'?`
  return coded(
    'ERR_INVALID_ARGUMENT',
    `${argument} ${problem}.${hint}`,
    { argument, suggestion },
    options,
  )
}

export function limitExceeded(
  argument: string,
  what: string,
  limit: number,
  actual: number,
): TetralogError {
  return coded(
    'ERR_LIMIT_EXCEEDED',
    `${argument} has ${actual} ${what}, but the limit is ${limit}.`,
    { argument, limit, actual },
  )
}

export function payloadDecode(
  position: number,
  contentType: string,
  problem: string,
  cause?: unknown,
): TetralogError {
  return coded(
    'ERR_PAYLOAD_DECODE',
    `The payload of the event at position ${position} (${contentType}) ${problem}. event.bytes() gives it as it is stored.`,
    { position, contentType },
    cause === undefined ? undefined : { cause },
  )
}

export function closed(): TetralogError {
  return coded('ERR_CLOSED', 'The store is closed: open it again to go on.', {})
}

/** Leaves our own errors as they are; anything that a caller's getter or proxy threw becomes a cause. */
export function wrapThrown(argument: string, error: unknown): TetralogError {
  if (error instanceof CodedError) return error as unknown as TetralogError
  return invalidArgument(argument, 'could not be read: see the cause', undefined, {
    cause: error,
  })
}

interface NativeDetails {
  code: string
  message: string
  written?: Written
  [field: string]: unknown
}

function parseNative(text: string): NativeDetails | undefined {
  if (!text.startsWith('{')) return undefined
  try {
    const value: unknown = JSON.parse(text)
    const code = (value as { code?: unknown } | null)?.code
    return typeof code === 'string' ? (value as NativeDetails) : undefined
  } catch {
    return undefined
  }
}

/** Fields that are always there, as `undefined` where the engine has nothing to say. */
const OPTIONAL_FIELDS: Readonly<Record<string, string>> = {
  ERR_WRONG_EXPECTED_VERSION: 'index',
  ERR_INVALID_ARGUMENT: 'suggestion',
  ERR_LOCKED: 'pid',
}

function fromDetails(native: NativeDetails): TetralogError {
  const { code, message, written, ...fields } = native
  const optional = OPTIONAL_FIELDS[code]
  if (optional !== undefined) fields[optional] ??= undefined
  if (Array.isArray(fields.damage)) fields.damage = fields.damage.map(toDamage)
  return new CodedError(
    code,
    message,
    written === 'unknown' ? 'unknown' : false,
    fields,
  ) as unknown as TetralogError
}

/** Of the JSON in an outcome. */
export function fromNativeText(text: string): Error {
  const native = parseNative(text)
  return native === undefined ? new Error(text) : fromDetails(native)
}

/** Of anything that a native call threw or rejected with; what it does not know stays as it is. */
export function fromNative(error: unknown): unknown {
  if (!(error instanceof Error) || error instanceof CodedError) return error
  const native = parseNative(error.message)
  if (native !== undefined) return fromDetails(native)
  return (error as { code?: unknown }).code === PANIC_CODE ? panicked(error) : error
}

/** What the bindings say of a call that has panicked: all errors of the engine are of the kind above. */
const PANIC_CODE = 'GenericFailure'

function panicked(cause: Error): unknown {
  const message = `The engine stopped unexpectedly (${cause.message}): open the store again.`
  return new CodedError('ERR_POISONED', message, 'unknown', {}, { cause })
}

/** Frozen, and without the fields that the engine left empty. */
export function toDamage(raw: Damage): Damage {
  const { segment, offset, length, reason, positions, entities } = raw
  const base = { segment, offset, length, reason, entities: Object.freeze([...(entities ?? [])]) }
  return Object.freeze(positions == null ? base : { ...base, positions: Object.freeze(positions) })
}
